/** Where the hub and its cache are, by the environment variables that its programs share. */
import { homedir } from "node:os";
import { join } from "node:path";

/** Where to look, and how. */
export interface HubSettings {
  /** Address of the hub, without a slash at its end. */
  readonly endpoint: string;
  /** Folder of the cache. */
  readonly cache: string;
  /** Secret that gated models ask for. */
  readonly token: string | null;
  /** Ask nobody. */
  readonly offline: boolean;
}

/** Reads the settings. */
export function hubSettings(env: (name: string) => string | undefined = readable): HubSettings {
  const home = env("HF_HOME") ||
    join(env("XDG_CACHE_HOME") || join(env("HOME") || homedir(), ".cache"), "huggingface");
  return {
    endpoint: (env("HF_ENDPOINT") || "https://huggingface.co").replace(/\/+$/, ""),
    cache: env("HF_HUB_CACHE") || join(home, "hub"),
    token: env("HF_TOKEN") || saved(env("HF_TOKEN_PATH") || join(home, "token")),
    offline: /^(1|on|yes|true)$/i.test(env("HF_HUB_OFFLINE") || env("TRANSFORMERS_OFFLINE") || ""),
  };
}

/** A variable of the process, where it may be read without asking anybody. */
function readable(name: string): string | undefined {
  const { state } = Deno.permissions.querySync({ name: "env", variable: name });
  return state === "granted" ? Deno.env.get(name) : undefined;
}

/** The secret that a login has left. */
function saved(path: string): string | null {
  try {
    return Deno.readTextFileSync(path).trim() || null;
  } catch {
    return null;
  }
}
