/** Settings of a pipeline: from a file and from flags, each stage's under its name. */
import { parseYaml } from "../_yaml.ts";
import { ConfigError, FormatError } from "../errors.ts";
import { readText } from "../files.ts";
import { nearest } from "../nearest.ts";

/** Settings by stage and name. */
export type PipelineSettings = Readonly<Record<PipelineStage, Readonly<Record<string, unknown>>>>;

/** The stages in their order. */
export const PIPELINE_STAGES = ["datagen", "vocabMap", "train", "evaluate"] as const;

/** Name of a stage. */
export type PipelineStage = typeof PIPELINE_STAGES[number];

type Kind = "text" | "texts" | "number" | "numbers" | "switch" | "object";

/** What a file may set; where things are put is the pipeline's own business. */
const KNOWN: Readonly<Record<PipelineStage, Readonly<Record<string, Kind>>>> = {
  datagen: {
    trainDataPath: "texts",
    valDataPath: "texts",
    seqLength: "number",
    maxSamples: "number",
    seed: "number",
    layerIds: "numbers",
    batchTokens: "number",
    batchSize: "number",
    dtype: "text",
    format: "text",
    turnDropout: "switch",
    assistantPattern: "text",
    engine: "text",
    endpoint: "text",
    hfCacheDir: "text",
    yes: "switch",
  },
  vocabMap: { draftVocabSize: "number" },
  train: {
    speculatorType: "text",
    fromPretrained: "text",
    valDataPath: "texts",
    trainDataRatio: "number",
    epochs: "number",
    maxSteps: "number",
    lr: "number",
    weightDecay: "number",
    totalSeqLen: "number",
    tttSteps: "number",
    tttStepLossDecay: "number",
    useOffPolicyTokens: "switch",
    lossFn: "text",
    noiseStd: "number",
    seed: "number",
    schedulerType: "text",
    schedulerWarmupSteps: "number",
    schedulerWarmupRatio: "number",
    schedulerTotalSteps: "number",
    schedulerNumCosineCycles: "number",
    maxGradNorm: "number",
    saveSteps: "number",
    checkpointFreq: "number",
    keep: "number",
    maxBadSamples: "number",
    skipBadBatches: "switch",
    logFreq: "number",
    draft: "object",
  },
  evaluate: {
    data: "texts",
    numSpecTokens: "number",
    maxTokens: "number",
    temperature: "number",
    topP: "number",
    topK: "number",
    seed: "number",
    limit: "number",
    concurrency: "number",
  },
};

/** Largest file that is read. */
const MAX_BYTES = 1024 * 1024;

/** What a file says. */
export interface PipelineFile {
  /** The verifier. */
  readonly verifierNameOrPath?: string;
  /** Where everything goes. */
  readonly outputDir?: string;
  /** Settings of the stages. */
  readonly stages: PipelineSettings;
}

/**
 * Reads a file of settings, YAML or (which is YAML too) JSON. Names are taken in any spelling: `seqLength`, `seq-length`,
 * `seq_length`.
 *
 * @throws {NotFoundError} when it is not there
 * @throws {FormatError} when it cannot be read
 * @throws {ConfigError} when it sets something that is not known, or to another kind of value
 */
export async function readPipelineFile(path: string): Promise<PipelineFile> {
  const text = await readText(path, { maxBytes: MAX_BYTES });
  let value: unknown;
  try {
    value = parseYaml(text, { maxAliasCount: 100 });
  } catch (cause) {
    throw new FormatError(
      path,
      `expected YAML or JSON, received ${(cause as Error).message.split("\n")[0]}`,
      {
        cause,
      },
    );
  }
  const names = ["verifierNameOrPath", "outputDir", ...PIPELINE_STAGES];
  const file = entriesOf(value, path, names), texts: Record<string, string> = {};
  for (const name of ["verifierNameOrPath", "outputDir"]) {
    if (file[name] === undefined) continue;
    texts[name] = checked(file[name], "text", `${path}: ${name}`) as string;
  }
  const stages = PIPELINE_STAGES.map((stage) => [stage, stageSettings(stage, file[stage] ?? {}, path)]);
  return { ...texts, stages: Object.fromEntries(stages) };
}

/**
 * Settings of a stage, checked.
 *
 * @param where they come from, for messages
 * @throws {ConfigError} when one is not known, or of another kind
 */
export function stageSettings(stage: PipelineStage, value: unknown, where: string): Record<string, unknown> {
  const known = KNOWN[stage], place = `${where}: ${stage}`;
  const found = entriesOf(value, place, Object.keys(known));
  return Object.fromEntries(
    Object.entries(found).map(([name, value]) => [name, checked(value, known[name]!, `${place}.${name}`)]),
  );
}

/** The settings of each stage, those of `over` first. */
export function mergeSettings(over: PipelineSettings, under: PipelineSettings): PipelineSettings {
  const merged = PIPELINE_STAGES.map((stage) => [stage, { ...under[stage], ...over[stage] }]);
  return Object.fromEntries(merged) as unknown as PipelineSettings;
}

/** A name as it is spelled here. */
export function camelCase(name: string): string {
  return name.replace(/[-_]+([a-zA-Z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

function entriesOf(value: unknown, where: string, names: readonly string[]): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ConfigError(where, `expected names and values, received ${JSON.stringify(value)}`);
  }
  const found: Record<string, unknown> = {};
  for (const [given, entry] of Object.entries(value)) {
    const name = camelCase(given);
    if (!names.includes(name)) {
      const near = nearest(name, names);
      throw new ConfigError(where, `expected one of ${names.join(", ")}, received "${given}"`, {
        hint: near ? `Did you mean ${near}?` : "Leave it out",
      });
    }
    if (entry !== null && entry !== undefined) found[name] = entry;
  }
  return found;
}

function checked(value: unknown, kind: Kind, where: string): unknown {
  const listed = Array.isArray(value) ? value : [value];
  const fits: Record<Kind, () => unknown> = {
    text: () => typeof value === "string" ? value : undefined,
    texts: () => listed.length > 0 && listed.every((one) => typeof one === "string") ? listed : undefined,
    number: () => typeof value === "number" && Number.isFinite(value) ? value : undefined,
    numbers: () => listed.every((one) => Number.isFinite(one)) ? listed : undefined,
    switch: () => typeof value === "boolean" ? value : undefined,
    object: () => typeof value === "object" && !Array.isArray(value) ? value : undefined,
  };
  const found = fits[kind]();
  if (found === undefined) {
    const expected = { switch: "true or false", texts: "texts", numbers: "numbers" } as Partial<
      Record<Kind, string>
    >;
    throw new ConfigError(
      where,
      `expected ${expected[kind] ?? `a ${kind}`}, received ${JSON.stringify(value)}`,
    );
  }
  return found;
}
