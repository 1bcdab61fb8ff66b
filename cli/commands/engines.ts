/** `engines`: the engine plugins, and how their servers are started. */
import { resolve } from "node:path";
import { ConfigError, NotFoundError } from "../../core/errors.ts";
import { readJson, resolveModel } from "../../mod.ts";
import type { Command } from "../_commander.ts";
import { type Context, printJson, runtimeFor, type SharedFlags, sharedFlags } from "../context.ts";
import { given, whole, wholes } from "../numbers.ts";
import { table } from "../ui.ts";

interface Flags extends SharedFlags {
  readonly layerIds?: number[];
  readonly sharedStoragePath: string;
  readonly host?: string;
  readonly port?: number;
  readonly tensorParallelSize?: number;
  readonly pipelineParallelSize?: number;
  readonly dataParallelSize?: number;
  readonly gpuMemoryUtilization?: string;
  readonly maxModelLen?: number;
}

/** Defines the command. */
export function define(command: Command, context: Context): void {
  command.description("Lists the engines: where text and hidden states come from.");
  sharedFlags(command)
    .addHelpText(
      "after",
      `
Examples:
  deno run -A cli/main.ts engines
  deno run -A cli/main.ts engines vllm-command examples/assets/tiny-verifier --port 8000
`,
    )
    .action(async (flags: SharedFlags) => {
      const { registry } = await runtimeFor(flags, context);
      const found = [];
      for (const { name } of registry.list("engine")) {
        const { summary, capabilities } = await registry.get("engine", name);
        found.push({ name, summary, ...capabilities });
      }
      if (flags.json) return printJson(context, { engines: found });
      const rows = found.map(({ name, summary, capture, generate }) => [
        name,
        [...(capture ? ["hidden states"] : []), ...(generate ? ["text"] : [])].join(", "),
        summary,
      ]);
      context.out.write(table([["engine", "gives", "summary"], ...rows]));
    });
  defineServe(command.command("vllm-command"), context);
}

function defineServe(command: Command, context: Context): void {
  command.argument("<model>", "the verifier: a folder, or organisation/name")
    .argument("[flags...]", "behind --, further flags of vllm serve, handed on as they are")
    .summary("the command that starts a vLLM server for datagen")
    .description(
      "Prints the command that starts a vLLM server which hands out hidden states, for datagen --engine vllm. The layers " +
        "are fixed once it runs; the server and datagen must see the same folder under the same name.",
    )
    .optionsGroup("Options:")
    .option("--layer-ids <id...>", "states handed out; id i enters layer i (default: 2, n/2, n-3, n)", wholes)
    .option("--shared-storage-path <folder>", "where the server leaves them", "hidden_states")
    .option("--host <address>", "address it listens at")
    .option("--port <n>", "port it listens at", whole(1))
    .option("--tensor-parallel-size <n>", "devices that share each layer", whole(1))
    .option("--pipeline-parallel-size <n>", "groups of devices that share the layers", whole(1))
    .option("--data-parallel-size <n>", "copies of the model", whole(1))
    .option("--gpu-memory-utilization <share>", "share of a device's memory that is taken")
    .option("--max-model-len <n>", "most tokens of a prompt and its answer", whole(1));
  sharedFlags(command)
    .addHelpText(
      "after",
      `
Examples:
  deno run -A cli/main.ts engines vllm-command meta-llama/Llama-3.1-8B-Instruct --tensor-parallel-size 2
  deno run -A cli/main.ts engines vllm-command M --layer-ids 2 16 29 32 -- --enforce-eager
`,
    )
    .action(async (model: string, further: string[], flags: Flags) => {
      const { registry } = await runtimeFor(flags, context);
      const engine = await registry.get("engine", "vllm");
      const layerIds = await layerIdsOf(model, flags.layerIds, context);
      const words = await engine.serveCommand!({
        model,
        layerIds,
        folder: resolve(flags.sharedStoragePath),
        flags: [...serverFlags(flags), ...further],
      });
      if (flags.json) return printJson(context, { command: words, layer_ids: layerIds });
      context.out.write(`${words.map(quoted).join(" ")}\n`);
      if (flags.quiet) return;
      const { host = "127.0.0.1", port = 8000 } = flags;
      context.err.write(
        `When it runs: datagen --engine vllm --endpoint http://${host}:${port} --layer-ids ${
          layerIds.join(" ")
        } --target-model-path ${quoted(model)} …\n`,
      );
    });
}

function serverFlags(flags: Flags): string[] {
  const { host, port, tensorParallelSize, pipelineParallelSize, dataParallelSize } = flags;
  const { gpuMemoryUtilization, maxModelLen } = flags;
  const known = given({
    "--host": host,
    "--port": port,
    "--tensor-parallel-size": tensorParallelSize,
    "--pipeline-parallel-size": pipelineParallelSize,
    "--data-parallel-size": dataParallelSize,
    "--gpu-memory-utilization": gpuMemoryUtilization,
    "--max-model-len": maxModelLen,
  });
  return Object.entries(known).flatMap(([name, value]) => [name, String(value)]);
}

/** The ids that datagen will ask for: its own default, and the last layer behind those that are given. */
async function layerIdsOf(model: string, given: number[] | undefined, context: Context): Promise<number[]> {
  const layers = await layersOf(model);
  if (layers === null) {
    if (given) {
      context.err.write(`note: ${model} is not on this machine; the last id must be its number of layers\n`);
      return given;
    }
    throw new NotFoundError(model, "expected a model to count the layers of, received none", {
      hint: "Give --layer-ids, the last of them the number of layers",
    });
  }
  const ids = given ?? [2, Math.floor(layers / 2), layers - 3, layers];
  const outside = ids.find((id) => id < 0 || id > layers);
  if (outside !== undefined) {
    throw new ConfigError("layerIds", `expected ids from 0 to ${layers}, received ${outside}`, {
      hint: `Id i is what enters layer i; ${layers} is what leaves the last one`,
    });
  }
  return ids.at(-1) === layers ? ids : [...ids, layers];
}

/** Layers of a model by its config; `null` when there is none here. */
async function layersOf(model: string): Promise<number | null> {
  try {
    const folder = await resolveModel(model, { files: "config" });
    const config = await readJson(`${folder}/config.json`) as Record<string, unknown> | null;
    const text = (config?.text_config ?? config) as Record<string, unknown> | null;
    const layers = text?.num_hidden_layers;
    return Number.isSafeInteger(layers) ? layers as number : null;
  } catch (error) {
    if (error instanceof NotFoundError) return null;
    throw error;
  }
}

/** A word as a POSIX shell takes it. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
