/** The contract of an engine: a place where text and hidden states come from. */
import type { HostTensor } from "../tensor.ts";
import type { PluginHeader } from "./header.ts";
import type { VerifierInfo } from "./shared.ts";
import type { ImagePatches, VerifierModel } from "./verifier.ts";

/** A place where text and hidden states come from. */
export interface EnginePlugin extends PluginHeader<"engine"> {
  /** What it can do. */
  readonly capabilities: {
    readonly capture: boolean;
    readonly generate: boolean;
    /** Whether samples that it captures may have images; not when absent. */
    readonly images?: boolean;
  };
  /** Opens it. */
  open(options: EngineOptions): Promise<Engine>;
  /** The command line, a word each, that starts the server it asks; absent where there is none. */
  serveCommand?(options: ServeOptions): Promise<readonly string[]>;
  /**
   * What the server at an address has counted of its draft since it began; `null` where it has no draft. An engine without it
   * asks no server: it is measured by decoding here.
   *
   * @throws {EndpointError} when the server does not say
   */
  acceptanceCounts?(
    endpoint: string,
    options: { readonly signal?: AbortSignal; readonly apiKey?: string },
  ): Promise<AcceptanceCounts | null>;
  /** The command line, a word each, that starts a server with a draft, or without one, to be measured. */
  draftCommand?(options: DraftServeOptions): Promise<readonly string[]>;
  /** What a log of its server says of acceptance; `null` where it says nothing. */
  readLog?(text: string): Promise<LoggedAcceptance | null>;
}

/** Acceptance as a server counts it. */
export interface AcceptanceCounts {
  /** Passes of the verifier that checked a proposal. */
  readonly rounds: number;
  /** Tokens proposed. */
  readonly drafted: number;
  /** Proposed tokens that were accepted. */
  readonly accepted: number;
  /** Rounds that accepted each position. */
  readonly perPosition: readonly number[];
}

/** Acceptance as a log tells it: rates of spans of time. */
export interface LoggedAcceptance {
  /** Spans. */
  readonly spans: number;
  /** Tokens proposed in all of them. */
  readonly drafted: number;
  /** Tokens accepted; `null` where the log does not say. */
  readonly accepted: number | null;
  /** Rate of each position, the spans weighted by the tokens that were proposed in them. */
  readonly weighted: readonly number[];
}

/** How a server with a draft is started. */
export interface DraftServeOptions {
  /** Folder or hub name of the verifier. */
  readonly model: string;
  /** The draft; none for the verifier alone. */
  readonly draft?: {
    /** Folder or hub name of the speculator. */
    readonly model: string;
    /** Tokens proposed a round. */
    readonly numSpecTokens: number;
    /** The server's name for its kind. */
    readonly method: string;
  };
  /** Address that it listens at. */
  readonly host: string;
  /** Port that it listens at. */
  readonly port: number;
  /** Most tokens of a prompt and its answer; the server's own choice when absent. */
  readonly maxModelLen?: number;
  /** Devices that share each layer; the server's own choice when absent. */
  readonly tensorParallelSize?: number;
  /** Share of a device's memory that is taken; the server's own choice when absent. */
  readonly gpuMemoryUtilization?: number;
  /** Further flags of the server, handed on as they are. */
  readonly flags?: readonly string[];
}

/** How the server of an engine is started. */
export interface ServeOptions {
  /** Folder or hub name of the verifier. */
  readonly model: string;
  /** Hidden states that it hands out, serving convention: fixed once it runs. */
  readonly layerIds: readonly number[];
  /** Folder where it leaves them, which this program reads under the same name. */
  readonly folder: string;
  /** Further flags of the server, handed on as they are. */
  readonly flags?: readonly string[];
}

/** How an engine is opened. */
export interface EngineOptions {
  /** Loads the verifier on this machine; called by engines that compute here. */
  loadVerifier(): Promise<VerifierModel>;
  /** What the verifier is. */
  readonly info: VerifierInfo;
  /** Address of a server, for engines that ask one. */
  readonly endpoint?: string;
  /** Stops what is under way. */
  readonly signal?: AbortSignal;
}

/** Text to go on with. */
export interface GenerateRequest {
  /** Token ids of the prompt. */
  readonly tokens: Int32Array;
  /** Most tokens to write. */
  readonly maxTokens: number;
  /** 0 is greedy. */
  readonly temperature?: number;
  /** Stop at these; the verifier's own when absent. */
  readonly eosTokenIds?: readonly number[];
}

/** What samples have besides tokens. */
export interface CaptureOptions {
  /** Images of each sample, in the order of their tokens; only for engines whose capabilities say so. */
  readonly images?: readonly (readonly ImagePatches[])[];
}

/** An engine at work. */
export interface Engine extends Disposable {
  /** What the verifier is. */
  readonly info: VerifierInfo;
  /**
   * Hidden states of samples: for each sample, for each layer id (serving convention), `[T, hidden]`. Samples are
   * worked together where that is faster; the result does not depend on it. The memory is the caller's to give away.
   */
  capture(
    samples: readonly Int32Array[],
    layers: readonly number[],
    options?: CaptureOptions,
  ): Promise<HostTensor[][]>;
  /** Goes on with a text. */
  generate(request: GenerateRequest): Promise<Int32Array>;
}
