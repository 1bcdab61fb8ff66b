/**
 * Servers that speak OpenAI's protocol: where their parts are, and what they serve.
 *
 * @module
 */
import { ConfigError, EndpointError, NotFoundError } from "./errors.ts";
import { type JsonRequest, requestJson } from "./json_request.ts";

/** A model that a server has. */
export interface ServedModel {
  /** The name it is asked for by. */
  readonly id: string;
  /** Most tokens of prompt and answer together; `null` where the server does not say. */
  readonly maxTokens: number | null;
}

/**
 * The address below which the parts of the protocol lie, without a slash at its end. Addresses may be written with or
 * without `/v1`, or as that of a part (`…/v1/chat/completions`).
 *
 * @throws {ConfigError} when it is no address of HTTP
 */
export function apiBase(endpoint: string): string {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : null;
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new ConfigError(
      "endpoint",
      `expected an address such as http://127.0.0.1:8000, received "${endpoint}"`,
      {
        hint: "Begin it with http:// or https://",
      },
    );
  }
  const path = url.pathname.replace(/\/+$/, "");
  const base = path.replace(/\/(?:chat\/completions|completions|models)$/, "");
  // Whoever names a part knows where the others are; else it is `/v1`, as everywhere.
  const version = base !== path || /\/v\d+\w*$/.test(base) ? "" : "/v1";
  return `${url.origin}${base}${version}`;
}

/**
 * What a server serves.
 *
 * @param wanted the model's name there; the server's first one when absent
 * @throws {EndpointError} when it does not answer as such a server does
 * @throws {NotFoundError} when it does not serve that model
 */
export async function servedModel(
  base: string,
  options: JsonRequest & { readonly wanted?: string } = {},
): Promise<ServedModel> {
  const url = `${base}/models`, { wanted, ...request } = options;
  const { data } = await requestJson(url, { tries: 2, timeoutMs: 20_000, ...request });
  if (!Array.isArray(data)) {
    throw new EndpointError(url, "expected a list of models, received something else", {
      hint: "Is it the address of a server that speaks OpenAI's protocol?",
    });
  }
  const models = data.filter((model): model is { readonly id: string; readonly max_model_len?: unknown } =>
    typeof model === "object" && model !== null && typeof (model as { id?: unknown }).id === "string"
  );
  const model = wanted === undefined ? models[0] : models.find(({ id }) => id === wanted);
  if (model === undefined) {
    const names = models.slice(0, 5).map(({ id }) => id).join(", ");
    throw new NotFoundError(
      wanted ?? url,
      `expected a model that ${base} serves, received ${names === "" ? "none" : `these: ${names}`}`,
      { hint: "Start the server with the model, or ask for one that it has" },
    );
  }
  const limit = model.max_model_len;
  return {
    id: model.id,
    maxTokens: Number.isSafeInteger(limit) && (limit as number) > 0 ? limit as number : null,
  };
}
