/** `convert`: published drafts to the speculators format, and back. */
import { convert, type ConvertOptions, type ConvertResult, createRuntime } from "../../mod.ts";
import { type Command, CommanderError, InvalidArgumentError, Option } from "../_commander.ts";
import { type Context, follow, pluginLock, printJson, type SharedFlags, sharedFlags } from "../context.ts";
import { byteCount, given, whole } from "../numbers.ts";
import { size, style } from "../ui.ts";

interface Flags extends SharedFlags {
  readonly algorithm?: string;
  readonly verifier?: string;
  readonly outputPath: string;
  readonly validateDevice?: SharedFlags["device"];
  readonly algorithmKwargs?: Record<string, unknown>;
  readonly layernorms?: boolean;
  readonly fusionBias?: boolean;
  readonly normBeforeResidual?: boolean;
  readonly eagleAuxHiddenStateLayerIds?: number[];
  readonly revision?: string;
  readonly dtype?: NonNullable<ConvertOptions["dtype"]>;
  readonly maxShardSize?: number;
  readonly fillFromVerifier?: NonNullable<ConvertOptions["fillFromVerifier"]>;
  readonly strictUpstream?: boolean;
  readonly overwrite?: boolean;
  readonly to?: string;
}

/** Defines the command. */
export function define(command: Command, context: Context): void {
  command.argument(
    "<model>",
    "the checkpoint: a folder, a file of weights, or organisation/name[@revision] of the hub",
  )
    .description("Converts a published Eagle, HASS or Eagle-3 checkpoint to the speculators format, or back.")
    .option("--algorithm <name>", "draft plugin: eagle, hass, eagle3; needed unless --to is given")
    .option("--verifier <model>", "the model that the draft was made for; needed unless --to is given")
    .option("--output-path <folder>", "where the result goes", "converted")
    .option("--revision <name>", "branch, tag or commit of a hub model")
    .option("--to <layout>", "write a research layout from a speculator: eagle3-research, eagle-research")
    .option("--overwrite", "replace the folder if it exists")
    .option(
      "--validate-device <kind>",
      "try the result there first: cpu, cuda, or a kind as of --device",
      device,
    )
    .optionsGroup("Tensors:")
    .addOption(
      new Option("--dtype <type>", "type of the weights (default: their own)").choices([
        "f32",
        "f16",
        "bf16",
      ]),
    )
    .option("--max-shard-size <bytes>", "most bytes in a file, e.g. 500MB (default: 5GB)", byteCount)
    .addOption(
      new Option(
        "--fill-from-verifier <name...>",
        "take these from the verifier if the checkpoint lacks them",
      )
        .choices(["embed_tokens", "lm_head"]),
    )
    .option("--strict-upstream", "do exactly what the Python system does, what it loses included")
    .optionsGroup("Of the algorithm:")
    .option("--algorithm-kwargs <json>", "its options in one JSON object", json)
    .option("--layernorms", "eagle, hass: norms of the embedding, before attention and before the head")
    .option("--fusion-bias", "eagle, hass: a bias where embedding and state are joined")
    .option("--norm-before-residual", "eagle3: norm the hidden state before it becomes the residual")
    .option("--no-norm-before-residual", "eagle3: norm it after")
    .option(
      "--eagle-aux-hidden-state-layer-ids <id...>",
      "eagle3: the verifier's states that the draft reads",
      ids,
    );
  sharedFlags(command)
    .addHelpText(
      "after",
      `
Examples:
  deno run -A cli/main.ts convert yuhuili/EAGLE3-LLaMA3.1-Instruct-8B --algorithm eagle3 \\
    --verifier meta-llama/Llama-3.1-8B-Instruct --output-path speculator
  deno run -A cli/main.ts convert speculator --to eagle3-research --output-path research
`,
    )
    .action(async (model: string, flags: Flags) => {
      requireFlags(flags);
      const device = flags.validateDevice ?? flags.device;
      const runtime = await createRuntime({
        device,
        plugins: flags.plugin ?? [],
        pluginLock: pluginLock(flags, context),
        signal: context.signal,
      });
      const result = await follow(convert(optionsOf(model, flags), runtime), flags, context);
      if (flags.json) return printJson(context, result);
      print(context, result);
    });
}

function requireFlags({ to, algorithm, verifier }: Flags): void {
  if (to !== undefined) return;
  const missing = [...(algorithm ? [] : ["--algorithm <name>"]), ...(verifier ? [] : ["--verifier <model>"])];
  if (missing.length === 0) return;
  throw new CommanderError(
    2,
    "required",
    `Cannot run "convert": expected ${missing.join(" and ")}, received none`,
  );
}

function optionsOf(model: string, flags: Flags): ConvertOptions {
  const { algorithm, verifier, outputPath, revision, dtype, maxShardSize, fillFromVerifier } = flags;
  const { strictUpstream, overwrite, to } = flags;
  const kwargs = {
    ...flags.algorithmKwargs,
    ...given({
      layernorms: flags.layernorms,
      fusion_bias: flags.fusionBias,
      norm_before_residual: flags.normBeforeResidual,
      eagle_aux_hidden_state_layer_ids: flags.eagleAuxHiddenStateLayerIds,
    }),
  };
  return {
    model,
    outputPath,
    algorithmKwargs: kwargs,
    validate: flags.validateDevice !== undefined,
    ...given({ algorithm, verifier, revision, dtype, maxShardSize, fillFromVerifier }),
    ...given({ strictUpstream, overwrite, to }),
  };
}

function print({ out }: Context, result: ConvertResult): void {
  const { validation } = result;
  out.write(style(out, "bold", `${result.tensors} tensors, ${size(result.bytes)}\n`));
  if (validation) {
    const { decoded } = validation;
    out.write(
      decoded
        ? `Valid: decoded ${decoded.tokens} tokens on the verifier, ${decoded.accepted} of them proposed\n`
        : "Valid by its files\n",
    );
  }
  out.write(`Written: ${result.outputPath} (${result.files.join(", ")})\n`);
}

function ids(value: string, before: number[] | undefined): number[] {
  return [...before ?? [], ...value.split(",").map(whole())];
}

/** Devices by the names that the Python command line has, too. */
function device(value: string): SharedFlags["device"] {
  if (value === "auto") return value;
  if (value === "cpu" || value === "wasm") return "wasm";
  if (/^(cuda|gpu|webgpu)(:\d+)?$/.test(value)) return "webgpu";
  throw new InvalidArgumentError(`Expected cpu, cuda, auto, webgpu or wasm, received "${value}".`);
}

function json(value: string): Record<string, unknown> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(value);
  } catch { /* told below */ }
  if (typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)) {
    return parsed as Record<string, unknown>;
  }
  throw new InvalidArgumentError(`Expected a JSON object, received "${value.slice(0, 80)}".`);
}
