/** Hidden states as a vLLM server leaves them: a safetensors file, and a `.lock` beside it that is held while it is written. */
import { isAbsolute } from "node:path";
import { ConfigError, EndpointError, FormatError, NotFoundError } from "../../../core/errors.ts";
import { toInt32 } from "../../../core/formats/dtype.ts";
import { openSafetensors, type SafetensorsFile } from "../../../core/formats/safetensors.ts";
import { pauseFor } from "../../../core/json_request.ts";
import { BYTES, type FileDType, type HostTensor } from "../../../core/tensor.ts";

/** What a file of states must hold. */
export interface StatesOptions {
  /** Address of the server, for messages. */
  readonly url: string;
  /** The prompt that was sent. */
  readonly tokens: Int32Array;
  /** Hidden states wanted. */
  readonly layers: readonly number[];
  /** Width of the residual stream. */
  readonly hiddenSize: number;
  /** Milliseconds that the server may take to finish the file. */
  readonly limitMs: number;
  /** Milliseconds until the file, or its lock, must be there; a shared folder may show it late. */
  readonly appearMs: number;
  /** Stops the wait. */
  readonly signal: AbortSignal;
}

const FLOATS: ReadonlySet<FileDType> = new Set(["f32", "bf16", "f16"]);

/** Longest pause between two looks at a file. */
const MAX_PAUSE_MS = 50;

/**
 * Reads the states of a prompt when they are written, then removes them: the server keeps every file for ever.
 *
 * @param path as the server named it
 * @returns for each layer `[T, hidden]`, in the file's own type
 * @throws {NotFoundError} when there is no such file
 * @throws {FormatError} when it is damaged
 * @throws {ConfigError} when the server hands out another number of layers
 * @throws {EndpointError} when it is not finished in time, or of another prompt or model
 */
export async function takeStates(path: string, options: StatesOptions): Promise<HostTensor[]> {
  if (!isAbsolute(path)) {
    throw new EndpointError(options.url, `expected the full path of a file of states, received "${path}"`, {
      hint: "Start the server with an absolute shared_storage_path",
    });
  }
  const lock = await finished(path, options);
  let states: HostTensor[];
  try {
    using file = await openSafetensors(path);
    states = await read(file, options);
  } finally {
    lock?.close();
  }
  // Only now, when it is known to be what the server wrote for this prompt, and nothing else that it named.
  await removeStates(path);
  return states;
}

/** Waits for a file of states that nobody reads, and removes it. */
export async function dropStates(path: string, options: Omit<StatesOptions, "layers">): Promise<void> {
  if (!isAbsolute(path)) return;
  try {
    const lock = await finished(path, options);
    lock?.close();
    using file = await openSafetensors(path);
    await checkTokens(file, options);
  } catch (cause) {
    if (cause instanceof NotFoundError || cause instanceof FormatError || cause instanceof EndpointError) {
      return;
    }
    throw cause;
  }
  await removeStates(path);
}

/** A folder that is only read from keeps its files; that does no harm to what was read. */
async function removeStates(path: string): Promise<void> {
  for (const name of [path, `${path}.lock`]) {
    try {
      await Deno.remove(name);
    } catch {
      // Not ours to remove.
    }
  }
}

/** Waits until the server lets go of the lock. Gives the lock, held for reading; `null` when there is none. */
async function finished(path: string, options: Omit<StatesOptions, "layers">): Promise<Deno.FsFile | null> {
  const { url, limitMs, appearMs, signal } = options, start = performance.now();
  for (let pause = 1;; pause = Math.min(MAX_PAUSE_MS, 2 * pause)) {
    const lock = await openLock(`${path}.lock`), waited = performance.now() - start;
    if (lock !== null) {
      if (await lock.tryLock(false)) return lock;
      lock.close();
      if (waited > limitMs) {
        throw new EndpointError(
          url,
          `expected "${path}" to be written in ${limitMs / 1000} s, received its lock only`,
          {
            hint: "Look into the server's log, and at the free space of the folder",
          },
        );
      }
    } else if (await Deno.stat(path).then(() => true, () => false)) {
      return null;
    } else if (waited > appearMs) {
      throw new NotFoundError(path, `expected the hidden states that ${url} named, received nothing`, {
        hint:
          "This program and the server must see the same folder (shared_storage_path) under the same name",
      });
    }
    await pauseFor(pause, signal);
  }
}

async function openLock(path: string): Promise<Deno.FsFile | null> {
  try {
    return await Deno.open(path, { read: true });
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound || cause instanceof Deno.errors.NotADirectory) return null;
    throw cause;
  }
}

async function read(file: SafetensorsFile, options: StatesOptions): Promise<HostTensor[]> {
  const { url, tokens, layers, hiddenSize } = options;
  await checkTokens(file, options);
  const { shape, dtype } = file.spec("hidden_states"), [rows, count, width] = shape;
  if (shape.length !== 3 || rows !== tokens.length || !FLOATS.has(dtype)) {
    throw new EndpointError(
      url,
      `expected hidden states of ${tokens.length} tokens in f32, bf16 or f16, received ${dtype} [${
        shape.join(", ")
      }]`,
    );
  }
  if (width !== hiddenSize) {
    throw new EndpointError(url, `expected hidden states of ${hiddenSize} entries, received ${width}`, {
      hint: "The server must serve the very model that is named here",
    });
  }
  if (count !== layers.length) {
    throw new ConfigError(
      "layerIds",
      `expected as many as the server hands out, ${count}, received ${layers.length}: ${layers.join(", ")}`,
      { hint: `Start the server for these: engines vllm-command MODEL --layer-ids ${layers.join(" ")}` },
    );
  }
  const { bytes } = await file.read("hidden_states");
  return split(bytes, { rows, layers: count, dtype, width });
}

/** `[T, layers, hidden]` → for each layer `[T, hidden]`. */
function split(
  bytes: Uint8Array,
  from: { readonly rows: number; readonly layers: number; readonly width: number; readonly dtype: FileDType },
): HostTensor[] {
  const { rows, layers, width, dtype } = from, row = width * BYTES[dtype];
  return Array.from({ length: layers }, (_, layer) => {
    const own = new Uint8Array(rows * row);
    for (let t = 0; t < rows; t++) {
      const at = (t * layers + layer) * row;
      own.set(bytes.subarray(at, at + row), t * row);
    }
    return { shape: [rows, width], dtype, bytes: own };
  });
}

async function checkTokens(
  file: SafetensorsFile,
  options: Pick<StatesOptions, "url" | "tokens">,
): Promise<void> {
  const { url, tokens } = options, { shape, dtype } = file.spec("token_ids");
  if (dtype !== "i64" || shape.length !== 1) {
    throw new EndpointError(url, `expected token ids i64 [T], received ${dtype} [${shape.join(", ")}]`);
  }
  if (shape[0] !== tokens.length) throw differentPrompt(url, `${tokens.length} tokens`, `${shape[0]}`);
  requireSameTokens(url, tokens, toInt32(await file.read("token_ids")));
}

/**
 * Compares a prompt with what the server says it was.
 *
 * @throws {EndpointError} when it is another one
 */
export function requireSameTokens(url: string, sent: Int32Array, received: ArrayLike<unknown>): void {
  if (received.length !== sent.length) {
    throw differentPrompt(url, `${sent.length} tokens`, `${received.length}`);
  }
  const at = sent.findIndex((id, i) => id !== received[i]);
  if (at >= 0) throw differentPrompt(url, `token ${sent[at]} at ${at}`, String(received[at]).slice(0, 20));
}

function differentPrompt(url: string, expected: string, received: string): EndpointError {
  return new EndpointError(
    url,
    `expected the states of the prompt that was sent (${expected}), received ${received}`,
    {
      hint: "Something between here and the server changes prompts or mixes answers",
    },
  );
}
