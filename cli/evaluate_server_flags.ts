/** Flags of `evaluate` that are about servers: which one is asked, how one is started, under which loads it is put. */
import { join } from "node:path";
import type { EvaluateServerOptions, ServerSource } from "../mod.ts";
import { CommanderError, InvalidArgumentError, Option } from "./_commander.ts";
import type { Command } from "./_commander.ts";
import { decimal, given, whole } from "./numbers.ts";

/** What the flags hold. */
export interface ServerFlags {
  readonly engine: string;
  readonly endpoint?: string;
  readonly plainEndpoint?: string;
  readonly launch?: boolean;
  readonly launchPlain?: boolean;
  readonly apiKey?: string;
  readonly fromLog?: string;
  readonly method: string;
  readonly tensorParallelSize: number;
  readonly maxModelLen: number;
  readonly gpuMemoryUtilization: number;
  readonly port: number;
  readonly healthCheckTimeout: number;
  readonly serverFlags?: string;
  readonly sweepConcurrency?: number[];
  readonly sweepRate?: number[];
  readonly sweepRequests: number;
  readonly sweepSeconds: number;
  readonly loadGenerator: "auto" | "own" | "guidellm";
}

/** Adds the flags. */
export function evaluateServerFlags(command: Command): Command {
  return command.optionsGroup("A server instead of this machine:")
    .option("--engine <name>", "where texts come from", "local")
    .option("--endpoint <url>", "a running server with the draft")
    .option("--plain-endpoint <url>", "one of the verifier alone, for the speed without the draft")
    .option("--launch", "start the server, and stop it again")
    .option("--launch-plain", "with --launch: start it once more without the draft, for the speed without it")
    .option("--api-key <key>", "key that the server wants")
    .option("--from-log <file>", "only read acceptance from a vLLM server's log")
    .optionsGroup("With --launch:")
    .option("--method <name>", "the server's name for the kind of draft", "eagle3")
    .option("--tensor-parallel-size <n>", "devices that share each layer", whole(1), 1)
    .option("--max-model-len <n>", "most tokens of a prompt and its answer", whole(1), 24_000)
    .option(
      "--gpu-memory-utilization <share>",
      "share of a device's memory that is taken",
      decimal(0, { max: 1, open: true }),
      0.85,
    )
    .option("--port <n>", "port it listens at", whole(1), 8000)
    .option("--health-check-timeout <s>", "seconds until it answers", whole(1), 300)
    .option("--server-flags <words>", "further flags of the server, in quotes")
    .optionsGroup("Loads, of a server:")
    .option("--sweep-concurrency <n,…>", "clients at once, a load each, as in 1,2,4,8", list)
    .option("--sweep-rate <r,…>", "requests a second, a load each, as in 0.5,1,2", list)
    .option("--sweep-requests <n>", "most requests of a load", whole(1), 200)
    .option("--sweep-seconds <s>", "seconds after which a load begins no more", whole(1), 60)
    .addOption(
      new Option("--load-generator <name>", "what loads the server; auto: guidellm where PATH has it")
        .choices(["auto", "own", "guidellm"]).default("auto"),
    );
}

/**
 * What of the stage's options the flags say.
 *
 * @param folder where logs of servers go
 */
export function serverOptions(
  flags: ServerFlags & {
    readonly base?: string;
    readonly speculator?: string;
    readonly numSpecTokens?: number;
  },
  folder: string,
): Pick<EvaluateServerOptions, "engine" | "server" | "plain" | "sweep" | "apiKey"> {
  const { engine, endpoint, plainEndpoint, apiKey, sweepConcurrency, sweepRate } = flags;
  if (endpoint !== undefined && flags.launch) {
    throw wrong("expected --endpoint or --launch, received both");
  }
  if (endpoint === undefined && !flags.launch) {
    throw wrong(`expected --endpoint or --launch with --engine ${engine}, received neither`);
  }
  const start = (name: string, draft: boolean): ServerSource => ({
    logPath: join(folder, name),
    timeoutSeconds: flags.healthCheckTimeout,
    launch: {
      model: flags.base!,
      host: "127.0.0.1",
      port: flags.port,
      maxModelLen: flags.maxModelLen,
      tensorParallelSize: flags.tensorParallelSize,
      gpuMemoryUtilization: flags.gpuMemoryUtilization,
      flags: flags.serverFlags?.split(/\s+/).filter((word) => word !== "") ?? [],
      ...(draft
        ? {
          draft: { model: flags.speculator!, numSpecTokens: flags.numSpecTokens ?? 3, method: flags.method },
        }
        : {}),
    },
  });
  const plain = plainEndpoint !== undefined
    ? { endpoint: plainEndpoint }
    : flags.launchPlain
    ? start("vllm_server_plain.log", false)
    : undefined;
  return {
    engine,
    server: endpoint === undefined ? start("vllm_server.log", true) : { endpoint },
    sweep: {
      ...given({ concurrency: sweepConcurrency, rates: sweepRate }),
      maxRequests: flags.sweepRequests,
      maxSeconds: flags.sweepSeconds,
      generator: flags.loadGenerator,
    },
    ...given({ plain, apiKey }),
  };
}

function list(value: string): number[] {
  const found = value.split(",").map((part) => part.trim() === "" ? NaN : Number(part));
  if (found.length <= 100 && found.every((n) => n > 0 && Number.isFinite(n))) return found;
  throw new InvalidArgumentError(`expected numbers such as 1,2,4, received "${value}"`);
}

function wrong(message: string): CommanderError {
  return new CommanderError(2, "server", `Cannot run "evaluate": ${message}`);
}
