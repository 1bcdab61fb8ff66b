/** What every plugin says of itself. */

/** The contract's version; a plugin written for another one is refused. */
export const API_VERSION = 1;

/** Kinds of plugins. */
export type PluginKind = "draft" | "verifier" | "engine" | "logger" | "loss";

/** What every plugin says of itself. */
export interface PluginHeader<K extends PluginKind> {
  /** {@linkcode API_VERSION} it was written for. */
  readonly apiVersion: 1;
  /** Its kind. */
  readonly kind: K;
  /**
   * Its name: `snake_case`, unique in its kind. A draft's checkpoints name, as their `speculators_model_type`, the plugin
   * that decodes them: usually this one.
   */
  readonly name: string;
  /** One line for people. */
  readonly summary: string;
}
