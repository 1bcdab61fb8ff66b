/** A server that speaks vLLM's protocol for hidden states, states made up, faults on demand. */
import { join } from "node:path";
import { writeSafetensors } from "../core/formats/safetensors.ts";
import { cutOff } from "./chat_stand_in.ts";

/** What goes wrong with one completion. */
export type Fault =
  | "busy" // status 429 with a pause
  | "status 500"
  | "status 400"
  | "dropped" // the connection ends within the answer
  | "cut" // an answer that is half of its JSON
  | "silent" // no answer for long
  | "slow" // the file comes late, its lock held until then
  | "late" // no lock, and the file comes late
  | "locked" // the lock is never let go of
  | "truncated" // the file is half written, its lock free
  | "missing" // no file at all
  | "wrong echo" // another prompt in the answer
  | "wrong ids" // another prompt in the file
  | "shorter" // fewer tokens in the file
  | "more layers"
  | "narrower" // another hidden size
  | "no numbers" // a state that is NaN
  | "relative" // a path that is not full
  | "no path"
  | "wrong text"; // token ids that are none

/** A stand-in at work. */
export interface StandIn extends AsyncDisposable {
  /** Its address. */
  readonly endpoint: string;
  /** Where it leaves states. */
  readonly folder: string;
  /** Prompts that it was asked for, in order, repeats too. */
  readonly prompts: number[][];
  /** The whole bodies. */
  readonly bodies: Record<string, unknown>[];
  /** Most requests that were under way at once. */
  readonly most: number;
}

/** How it behaves. */
export interface StandInOptions {
  /** Width of its states. */
  readonly hiddenSize: number;
  /** Layers it hands out. */
  readonly layers: number;
  /** The fault of the n-th completion, from 0. */
  readonly fault?: (n: number) => Fault | undefined;
  /** What it says of its length. */
  readonly maxModelLen?: number;
  /** Milliseconds an answer takes. */
  readonly delayMs?: number;
}

/** The made-up state of a token: every entry tells token, place, layer and column. */
export function stateOf(
  token: number,
  at: { readonly t: number; readonly layer: number; readonly j: number },
): number {
  return token + at.t / 16 + at.layer * 4096 + at.j / 1024;
}

/** Starts one in a folder of its own. */
export async function standIn(options: StandInOptions): Promise<StandIn> {
  const folder = await Deno.makeTempDir({ prefix: "states-" });
  const server = new Server(folder, options);
  await server.ready;
  return server;
}

class Server implements StandIn {
  readonly folder: string;
  readonly prompts: number[][] = [];
  readonly bodies: Record<string, unknown>[] = [];
  readonly ready: Promise<void>;
  readonly #options: StandInOptions;
  readonly #http: Deno.HttpServer<Deno.NetAddr>;
  readonly #stop = new AbortController();
  readonly #work = new Set<Promise<void>>();
  #count = 0;
  #running = 0;
  most = 0;

  constructor(folder: string, options: StandInOptions) {
    this.folder = folder;
    this.#options = options;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ready = promise;
    this.#http = Deno.serve(
      {
        port: 0,
        hostname: "127.0.0.1",
        onListen: () => resolve(),
        onError: () => new Response(null, { status: 500 }),
      },
      (request) => this.#answer(request),
    );
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.#http.addr.port}`;
  }

  async #answer(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (pathname === "/v1/models") {
      const { maxModelLen = 1024 } = this.#options;
      return Response.json({ object: "list", data: [{ id: "verifier", max_model_len: maxModelLen }] });
    }
    if (pathname !== "/v1/completions") {
      await request.body?.cancel();
      return Response.json({ detail: "Not Found" }, { status: 404 });
    }
    this.most = Math.max(this.most, ++this.#running);
    try {
      const body = await request.json();
      await this.#pause(this.#options.delayMs ?? 0);
      return await this.#complete(body);
    } finally {
      this.#running--;
    }
  }

  async #complete(body: Record<string, unknown>): Promise<Response> {
    const n = this.#count++, fault = this.#options.fault?.(n), prompt = body.prompt as number[];
    this.bodies.push(body);
    this.prompts.push(prompt);
    switch (fault) {
      case "busy":
        return Response.json({ message: "Too many requests" }, {
          status: 429,
          headers: { "retry-after": "0" },
        });
      case "status 500":
        return Response.json({ error: { message: "EngineCore encountered an issue." } }, { status: 500 });
      case "status 400":
        return Response.json({ error: { message: "This model's maximum context length is 4 tokens." } }, {
          status: 400,
        });
      case "silent":
        await this.#pause(30_000);
        break;
      case "dropped":
        return cutOff('{"id": "x", ');
    }
    const path = join(this.folder, `cmpl-${n}.safetensors`);
    await this.#leave(path, prompt, fault);
    const written = Array.from({ length: body.max_tokens as number }, (_, i) => (prompt.length + i) % 50);
    const text = JSON.stringify({
      choices: [{
        token_ids: fault === "wrong text" ? [-1] : written,
        prompt_token_ids: fault === "wrong echo" ? [...prompt.slice(0, -1), 49] : prompt,
      }],
      ...(fault === "no path" ? {} : {
        kv_transfer_params: { hidden_states_path: fault === "relative" ? "states/x.safetensors" : path },
      }),
    });
    return new Response(fault === "cut" ? text.slice(0, text.length / 2) : text, {
      headers: { "content-type": "application/json" },
    });
  }

  /** Leaves the file; its lock is taken before the answer goes out, as the real server does. */
  async #leave(path: string, prompt: readonly number[], fault: Fault | undefined): Promise<void> {
    if (fault === "missing" || fault === "no path" || fault === "relative") return;
    if (fault === "late") {
      return this.#later(async () => {
        await this.#pause(60);
        await this.#write(path, prompt, fault);
      });
    }
    const lock = await Deno.open(`${path}.lock`, { create: true, write: true });
    await lock.lock(true);
    if (fault !== "slow" && fault !== "locked") {
      await this.#write(path, prompt, fault);
      return lock.close();
    }
    this.#later(async () => {
      try {
        // Half a file is there while the lock is held: a reader that does not wait sees it.
        await Deno.writeFile(path, new Uint8Array(12));
        await this.#pause(fault === "slow" ? 120 : 30_000);
        if (fault === "slow") await this.#write(path, prompt, fault);
      } finally {
        lock.close();
      }
    });
  }

  #later(work: () => Promise<void>): void {
    const running = work().finally(() => this.#work.delete(running));
    this.#work.add(running);
  }

  async #write(path: string, prompt: readonly number[], fault: Fault | undefined): Promise<void> {
    const layers = this.#options.layers + (fault === "more layers" ? 1 : 0);
    const hiddenSize = this.#options.hiddenSize - (fault === "narrower" ? 1 : 0);
    const ids = fault === "wrong ids"
      ? prompt.map((id) => id + 1)
      : fault === "shorter"
      ? prompt.slice(1)
      : prompt;
    const states = new Float32Array(ids.length * layers * hiddenSize);
    let at = 0;
    for (const [t, token] of ids.entries()) {
      for (let layer = 0; layer < layers; layer++) {
        for (let j = 0; j < hiddenSize; j++) states[at++] = stateOf(token, { t, layer, j });
      }
    }
    if (fault === "no numbers") states[states.length - 1] = NaN;
    await writeSafetensors(path, [
      ["token_ids", {
        shape: [ids.length],
        dtype: "i64",
        bytes: new Uint8Array(BigInt64Array.from(ids, BigInt).buffer),
      }],
      ["hidden_states", {
        shape: [ids.length, layers, hiddenSize],
        dtype: "f32",
        bytes: new Uint8Array(states.buffer),
      }],
    ]);
    if (fault === "truncated") await Deno.truncate(path, (await Deno.stat(path)).size - 8);
  }

  /** Waits, but not past the end of the server. */
  async #pause(milliseconds: number): Promise<void> {
    if (milliseconds === 0 || this.#stop.signal.aborted) return;
    await new Promise<void>((resolve) => {
      const end = () => {
        clearTimeout(timer);
        this.#stop.signal.removeEventListener("abort", end);
        resolve();
      };
      const timer = setTimeout(end, milliseconds);
      this.#stop.signal.addEventListener("abort", end);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#work);
    await this.#http.shutdown();
    await Deno.remove(this.folder, { recursive: true });
  }
}
