/**
 * The plugin contracts. A plugin is a plain object, the default export of a module: data about itself first, code
 * behind a dynamic import. Five kinds: a `draft` proposes tokens and says how it is trained, a `verifier` is an
 * architecture of the model that is sped up, an `engine` is a place where text and hidden states come from, a `logger`
 * takes a run's numbers, a `loss` compares a draft's distribution of the next token with the verifier's. The core asks members, never names: whatever differs between plugins is a member here.
 *
 * @module
 */
import type { DraftPlugin } from "./contracts/draft.ts";
import type { EnginePlugin } from "./contracts/engine.ts";
import type { PluginKind } from "./contracts/header.ts";
import type { LoggerPlugin } from "./contracts/logger.ts";
import type { LossPlugin } from "./contracts/loss.ts";
import type { VerifierPlugin } from "./contracts/verifier.ts";

export type * from "./conversion.ts";
export type * from "./contracts/draft.ts";
export type * from "./contracts/engine.ts";
export * from "./contracts/header.ts";
export type * from "./contracts/logger.ts";
export type * from "./contracts/loss.ts";
export type * from "./contracts/shared.ts";
export type * from "./contracts/verifier.ts";
export type { Raster } from "./images/raster.ts";
export type { TensorSource } from "./formats/source.ts";

/** Any plugin. */
export type Plugin = DraftPlugin | VerifierPlugin | EnginePlugin | LoggerPlugin | LossPlugin;

/** The plugin type of a kind. */
export type PluginOf<K extends PluginKind> = Extract<Plugin, { readonly kind: K }>;

/** Types a plugin literal; does nothing else. */
export function definePlugin<const P extends Plugin>(plugin: P): P {
  return plugin;
}
