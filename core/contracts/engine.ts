/** The contract of an engine: a place where text and hidden states come from. */
import type { HostTensor } from "../tensor.ts";
import type { PluginHeader } from "./header.ts";
import type { VerifierInfo } from "./shared.ts";
import type { VerifierModel } from "./verifier.ts";

/** A place where text and hidden states come from. */
export interface EnginePlugin extends PluginHeader<"engine"> {
  /** What it can do. */
  readonly capabilities: { readonly capture: boolean; readonly generate: boolean };
  /** Opens it. */
  open(options: EngineOptions): Promise<Engine>;
  /** The command line, a word each, that starts the server it asks; absent where there is none. */
  serveCommand?(options: ServeOptions): Promise<readonly string[]>;
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

/** An engine at work. */
export interface Engine extends Disposable {
  /** What the verifier is. */
  readonly info: VerifierInfo;
  /**
   * Hidden states of samples: for each sample, for each layer id (serving convention), `[T, hidden]`. Samples are
   * worked together where that is faster; the result does not depend on it. The memory is the caller's to give away.
   */
  capture(samples: readonly Int32Array[], layers: readonly number[]): Promise<HostTensor[][]>;
  /** Goes on with a text. */
  generate(request: GenerateRequest): Promise<Int32Array>;
}
