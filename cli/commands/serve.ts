/** `serve`: answers over HTTP, by OpenAI's protocol. */
import { SpeculatorsError } from "../../core/errors.ts";
import { serve, type Server, type ServerOptions } from "../../mod.ts";
import { type Command, Option } from "../_commander.ts";
import {
  type Context,
  printJson,
  requiredFlags,
  runtimeFor,
  type SharedFlags,
  sharedFlags,
} from "../context.ts";
import { byteCount, decimal, given, whole } from "../numbers.ts";
import { style } from "../ui.ts";

interface Flags extends SharedFlags {
  readonly verifierNameOrPath: string;
  readonly speculator?: string;
  readonly numSpecTokens?: number;
  readonly servedModelName?: string;
  readonly host: string;
  readonly port: number;
  readonly apiKey?: string;
  readonly maxSequences?: number;
  readonly maxQueue?: number;
  readonly maxModelLen?: number;
  readonly maxBody?: number;
  readonly bodyTimeout?: number;
  readonly requestTimeout?: number;
  readonly kvDtype?: "f32" | "bf16";
  readonly pluginTimeout?: number;
}

/** Largest port there is. */
const MAX_PORT = 65_535;

/** Defines the command. */
export function define(command: Command, context: Context): void {
  requiredFlags(command, [["-b, --verifier-name-or-path <folder>", "the verifier"]])
    .description(
      "Answers over HTTP by OpenAI's protocol, several requests at once; with a speculator the same answers come " +
        "sooner. Only this machine reaches it unless --host says otherwise. Ctrl-C lets it finish what runs.",
    )
    .option("-s, --speculator <folder>", "the speculator; plain decoding without one")
    .option(
      "--num-spec-tokens <n>",
      "tokens proposed a round (default: what the speculator's config says)",
      whole(1),
    )
    .option(
      "--served-model-name <name>",
      "name that clients ask for (default: the hub's name, or the folder's)",
    )
    .option("--host <address>", "address to listen at; 0.0.0.0 for all of this machine", "127.0.0.1")
    .option("--port <n>", "port to listen at; 0 for any that is free", whole(), 8000)
    .option(
      "--api-key <key>",
      "key that requests must bring (default: that of SPECULATORS_API_KEY, else none)",
    )
    .option("--max-sequences <n>", "most texts written at once", whole(1), 8)
    .option("--max-queue <n>", "most texts that wait; those above are refused", whole(), 256)
    .option(
      "--max-model-len <n>",
      "most tokens of prompt and answer (default: what the model takes)",
      whole(2),
    )
    .addOption(
      new Option("--max-body <size>", "largest body of a request").argParser(byteCount).default(
        4 * 1024 * 1024,
        "4MiB",
      ),
    )
    .option(
      "--body-timeout <s>",
      "seconds until a body must be here",
      decimal(0, { open: true, max: 1e6 }),
      30,
    )
    .option(
      "--request-timeout <s>",
      "seconds that a request may take",
      decimal(0, { open: true, max: 1e6 }),
      600,
    )
    .addOption(new Option("--kv-dtype <dtype>", "storage of keys and values").choices(["f32", "bf16"]))
    .option("--plugin-timeout <ms>", "milliseconds that a draft may take to propose", whole(1));
  sharedFlags(command)
    .addHelpText(
      "after",
      `
Examples:
  deno run -A cli/main.ts serve -b examples/assets/tiny-verifier -s out/demo/speculator
  deno run -A cli/main.ts serve -b examples/assets/tiny-verifier --port 0 --api-key secret --max-queue 32

  curl http://127.0.0.1:8000/v1/chat/completions -H 'content-type: application/json' \\
    -d '{"messages": [{"role": "user", "content": "Good morrow, my lord."}], "stream": true}'

Any client of OpenAI's API can use it: set its base URL to http://127.0.0.1:8000/v1. Open http://127.0.0.1:8000/ in a
browser to chat. Paths: /v1/chat/completions, /v1/completions, /v1/models, /tokenize, /detokenize, /metrics, /health.
`,
    )
    .action(async (flags: Flags) => {
      const { maxModelLen, maxBody, apiKey = keyOfEnvironment(), ...same } = flags;
      if (flags.port > MAX_PORT) {
        command.error(`expected a port from 0 to ${MAX_PORT}, received ${flags.port}`);
      }
      const { device: _, plugin: __, json: ___, quiet: ____, ...own } = same;
      const options = given({
        ...own,
        apiKey,
        maxTokens: maxModelLen,
        maxBodyBytes: maxBody,
        onError: (error: unknown) =>
          context.err.write(`${style(context.err, "red", "error")}: ${told(error)}\n`),
      }) as ServerOptions;
      const server = await serve(options, await runtimeFor(flags, context));
      const stopped = stopSignal(context.signal);
      try {
        if (server.doubt) context.err.write(`${style(context.err, "yellow", "warning")}: ${server.doubt}\n`);
        announce(server, flags, context);
        await stopped.promise;
        const { active } = server;
        if (!flags.quiet && active > 0) {
          context.err.write(
            `Finishing ${active} request${active === 1 ? "" : "s"}; Ctrl-C again ends at once\n`,
          );
        }
        await server.close();
        if (!flags.quiet) context.err.write("Stopped\n");
      } finally {
        stopped.end();
      }
    });
}

/** Says where it is and how it is called. */
function announce(server: Server, flags: Flags, context: Context): void {
  const { address, model, numSpecTokens } = server;
  if (flags.json) return printJson(context, { address, model, num_spec_tokens: numSpecTokens });
  const draft = numSpecTokens > 0 ? `${numSpecTokens} tokens proposed a round` : "no draft";
  context.out.write(`${style(context.out, "bold", `Serving ${model} at ${address}`)} (${draft})\n`);
  if (flags.quiet) return;
  context.out.write(
    `  chat    ${address}/\n  API     ${address}/v1 (the base URL of a client)\n  figures ${address}/metrics\n` +
      `  try     curl ${address}/v1/chat/completions -H 'content-type: application/json'${
        flags.apiKey === undefined ? "" : " -H 'authorization: Bearer KEY'"
      } -d '{"messages": [{"role": "user", "content": "Hello"}]}'\n`,
  );
}

/** Settles on Ctrl-C, or when the system asks to end (a second time, it ends at once). */
function stopSignal(signal: AbortSignal): { readonly promise: Promise<void>; end(): void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  let asked = signal.aborted;
  const stop = () => (asked = true, resolve());
  const terminate = () => asked ? Deno.exit(143) : stop();
  if (asked) resolve();
  signal.addEventListener("abort", stop);
  const system = Deno.build.os !== "windows";
  if (system) Deno.addSignalListener("SIGTERM", terminate);
  return {
    promise,
    end() {
      signal.removeEventListener("abort", stop);
      if (system) Deno.removeSignalListener("SIGTERM", terminate);
    },
  };
}

/** A key in the environment is in no list of processes; where reading it is not allowed, there is none. */
function keyOfEnvironment(): string | undefined {
  try {
    return Deno.env.get("SPECULATORS_API_KEY") || undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) return undefined;
    throw error;
  }
}

/** An error of the server's own: one that nobody foresaw with where it happened. */
function told(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error instanceof SpeculatorsError ? error.message : error.stack ?? error.message;
}
