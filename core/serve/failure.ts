/** Requests that are refused, as OpenAI's clients understand it. */
import { AbortedError, BusyError, ConfigError, NotFoundError, SpeculatorsError } from "../errors.ts";

/** What a refusal says besides its message. */
export interface FailureOptions {
  /** The field of the request that is wrong. */
  readonly param?: string;
  /** Stable identifier for programs, e.g. `context_length_exceeded`. */
  readonly code?: string;
  /** Further headers of the answer. */
  readonly headers?: Readonly<Record<string, string>>;
  /** The error underneath. */
  readonly cause?: unknown;
}

/** A request cannot be answered; the status says whose fault it is. */
export class RequestFailure extends SpeculatorsError {
  /** HTTP status. */
  readonly status: number;
  /** The field that is wrong; `null` where it is none. */
  readonly param: string | null;
  /** Identifier for programs; `null` where there is none. */
  readonly apiCode: string | null;
  /** Further headers. */
  readonly headers: Readonly<Record<string, string>>;

  /** Makes the refusal. */
  constructor(status: number, message: string, options: FailureOptions = {}) {
    super("E_REQUEST", message, options.cause === undefined ? {} : { cause: options.cause });
    this.status = status;
    this.param = options.param ?? null;
    this.apiCode = options.code ?? null;
    this.headers = options.headers ?? {};
  }
}

/** Any error as a refusal. What nobody foresaw is told without its words, which may name things of this machine. */
export function failureOf(error: unknown): RequestFailure {
  if (error instanceof RequestFailure) return error;
  if (error instanceof BusyError) {
    return new RequestFailure(429, "Too many requests wait already; ask again later", {
      code: "rate_limit_exceeded",
      headers: { "retry-after": "1" },
      cause: error,
    });
  }
  if (error instanceof ConfigError || error instanceof NotFoundError) {
    return new RequestFailure(400, error.message, { cause: error });
  }
  if (error instanceof AbortedError) {
    return new RequestFailure(503, "The request was stopped", {
      headers: { "retry-after": "1" },
      cause: error,
    });
  }
  return new RequestFailure(500, "The server failed while it answered; its log says more", { cause: error });
}

/** The body of a refusal. */
export function failureBody({ status, message, param, apiCode }: RequestFailure): object {
  return { error: { message, type: typeOf(status), param, code: apiCode } };
}

/** The refusal as an answer. */
export function failureResponse(failure: RequestFailure): Response {
  return Response.json(failureBody(failure), { status: failure.status, headers: failure.headers });
}

function typeOf(status: number): string {
  if (status === 429) return "rate_limit_error";
  if (status === 401) return "authentication_error";
  if (status === 403) return "permission_error";
  return status >= 500 ? "server_error" : "invalid_request_error";
}
