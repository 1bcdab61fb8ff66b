/** Opening a trained speculator beside its verifier, ready to propose. */
import { checkConfig, type CommonConfig, readSpeculatorConfig, speculativeTokens } from "./config/mod.ts";
import type { Draft } from "./decode/decode.ts";
import { ConfigError, PluginError, SpeculatorsError } from "./errors.ts";
import { requireFolder } from "./folders.ts";
import { openWeights } from "./formats/weights.ts";
import { resolveModel } from "./hub.ts";
import type { DraftPlugin, ProposerOptions, SpeculatorConfig, VerifierModel } from "./plugin.ts";
import type { Registry } from "./registry.ts";
import { uploadDraft } from "./draft_tensors.ts";
import type { OpenedVerifier } from "./verifier.ts";

/** A speculator on a device. */
export interface OpenSpeculator extends Disposable {
  /** Its config. */
  readonly config: SpeculatorConfig;
  /** Tokens a round that its config asks for. */
  readonly numSpecTokens: number;
  /** What the decoding loop takes. */
  readonly draft: Draft;
  /** Why it may do badly with this verifier, as far as can be told; `null` when nothing speaks against it. */
  readonly doubt: string | null;
}

/**
 * Loads a speculator for a verifier that is loaded.
 *
 * @param nameOrPath a folder with `config.json` and weights in the speculators format, or a model of the hub
 * @throws {ConfigError} when it does not fit the verifier
 * @throws {NotFoundError} when no plugin of its algorithm is known
 */
export async function openSpeculator(
  nameOrPath: string,
  options: {
    readonly registry: Registry;
    readonly verifier: OpenedVerifier;
    readonly model: VerifierModel;
    readonly proposing?: ProposerOptions;
  },
): Promise<OpenSpeculator> {
  const folder = await resolveModel(nameOrPath);
  await requireFolder(folder, {
    what: "a speculator",
    hint: "Give a checkpoint of train, a folder like it, or organisation/name of a model on the hub",
  });
  const common = await readSpeculatorConfig(folder);
  const plugin = await options.registry.get("draft", common.speculators_model_type);
  try {
    return await assemble(folder, { ...options, common, plugin });
  } catch (cause) {
    if (cause instanceof SpeculatorsError) throw cause;
    throw new PluginError(plugin.name, "it failed while it was made ready", { cause });
  }
}

async function assemble(
  folder: string,
  what: {
    readonly verifier: OpenedVerifier;
    readonly model: VerifierModel;
    readonly common: CommonConfig;
    readonly plugin: DraftPlugin;
    readonly proposing?: ProposerOptions;
  },
): Promise<OpenSpeculator> {
  const { verifier, model, common, plugin, proposing = {} } = what;
  const algorithm = await plugin.load();
  const config = await checkConfig(algorithm.schema, common, { where: `${folder}/config.json` });
  const needs = algorithm.needs(config, verifier.info);
  const beyond = needs.layers.find((id) => id < 0 || id > verifier.info.layers);
  if (beyond !== undefined) {
    throw new ConfigError(
      `${folder}/config.json`,
      `expected layer ids from 0 to ${verifier.info.layers}, received ${beyond}`,
      {
        hint: "Is this the verifier that the speculator was trained for?",
      },
    );
  }
  // A draft without weights, such as one that looks the prompt up, is a config alone.
  using source = algorithm.tensors(config).length > 0 ? await openWeights(folder) : null;
  const host = await algorithm.initialise(config, {
    seed: 0,
    verifier: verifier.weights,
    vocabulary: null,
    checkpoint: source,
  });
  // What only training needs stays on disk; nothing is trained here, so weights keep the dtype they are stored in.
  const infos = algorithm.tensors(config).filter((info) => info.decodes ?? info.saved).map((info) => ({
    ...info,
    trained: false,
  }));
  const tensors = uploadDraft(model.backend, host, infos);
  const proposer = algorithm.proposer(config, { backend: model.backend, tensors: tensors.all }, proposing);
  return {
    config,
    numSpecTokens: speculativeTokens(common),
    draft: { name: plugin.name, proposer, layers: needs.layers },
    doubt: doubtOf(common, verifier),
    [Symbol.dispose]() {
      proposer[Symbol.dispose]();
      tensors[Symbol.dispose]();
    },
  };
}

/** A speculator names the architecture it was trained for; another one's states mean something else. */
function doubtOf(config: CommonConfig, { info }: OpenedVerifier): string | null {
  const trained = config.speculators_config.verifier.architectures;
  if (trained.length === 0 || info.architectures.length === 0) return null;
  if (trained.some((name) => info.architectures.includes(name))) return null;
  return `The speculator was trained for ${trained.join(", ")}, and ${info.nameOrPath} is ${
    info.architectures.join(", ")
  }: few proposals will be accepted`;
}
