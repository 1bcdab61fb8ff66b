/**
 * The plugins that come with the project. Nothing is loaded before it is used.
 *
 * @module
 */
import { createRegistry, type PluginEntry, type Registry } from "../core/registry.ts";

/** Drafts, a line each: name, what it is, its module. */
const DRAFTS: readonly (readonly [name: string, summary: string, load: PluginEntry["load"]])[] = [
  ["dflash", "DFlash: drafts a block of tokens in one pass", () => import("./dflash/mod.ts")],
  [
    "eagle",
    "Eagle v1: guesses the verifier's next features, trained on the true ones",
    () => import("./eagle/mod.ts"),
  ],
  [
    "eagle3",
    "Eagle-3: reads three hidden states of the verifier, trained on its own steps",
    () => import("./eagle3/mod.ts"),
  ],
  [
    "hass",
    "HASS: Eagle v1 trained over harmonised steps with a top-k loss; checkpoints are eagle's",
    () => import("./hass/mod.ts"),
  ],
  ["mtp", "MTP: a verifier's own next-token layer, trained over steps", () => import("./mtp/mod.ts")],
];

const ENTRIES: readonly PluginEntry[] = [
  ...DRAFTS.map(([name, summary, load]) => ({ kind: "draft" as const, name, summary, load })),
  {
    kind: "verifier",
    name: "llama",
    summary: "Llama 2 and 3 and what shares their architecture",
    load: () => import("./verifiers/llama/mod.ts"),
  },
  {
    kind: "verifier",
    name: "qwen2",
    summary: "Qwen2 and Qwen2.5",
    load: () => import("./verifiers/qwen2/mod.ts"),
  },
  {
    kind: "verifier",
    name: "qwen3",
    summary: "Qwen3, dense",
    load: () => import("./verifiers/qwen3/mod.ts"),
  },
  {
    kind: "verifier",
    name: "qwen3_moe",
    summary: "Qwen3 with experts",
    load: () => import("./verifiers/qwen3_moe/mod.ts"),
  },
  {
    kind: "verifier",
    name: "gpt_oss",
    summary: "gpt-oss, its experts in bf16 or MXFP4",
    load: () => import("./verifiers/gpt_oss/mod.ts"),
  },
  {
    kind: "verifier",
    name: "qwen2_5_vl",
    summary: "Qwen2.5-VL, text and images",
    load: () => import("./verifiers/qwen2_5_vl/mod.ts"),
  },
  {
    kind: "verifier",
    name: "qwen3_vl",
    summary: "Qwen3-VL, text and images",
    load: () => import("./verifiers/qwen3_vl/mod.ts"),
  },
  {
    kind: "engine",
    name: "local",
    summary: "This machine: the verifier runs on the project's own kernels",
    load: () => import("./engines/local/mod.ts"),
  },
  {
    kind: "engine",
    name: "vllm",
    summary: "A running vLLM server, over HTTP: any number of GPUs",
    load: () => import("./engines/vllm/mod.ts"),
  },
  {
    kind: "logger",
    name: "jsonl",
    summary: "Lines of JSON in metrics.jsonl, one a step",
    load: () => import("./loggers/jsonl/mod.ts"),
  },
  {
    kind: "logger",
    name: "tensorboard",
    summary: "Event files that TensorBoard reads: scalars, settings",
    load: () => import("./loggers/tensorboard/mod.ts"),
  },
  {
    kind: "logger",
    name: "trackio",
    summary: "A Trackio server, over HTTP, at TRACKIO_SERVER_URL",
    load: () => import("./loggers/trackio/mod.ts"),
  },
  {
    kind: "logger",
    name: "wandb",
    summary: "A folder of an offline run, which `wandb sync` uploads",
    load: () => import("./loggers/wandb/mod.ts"),
  },
  {
    kind: "loss",
    name: "kl_div",
    summary: "Divergence from the verifier's distribution: Eagle-3's own loss",
    load: () => import("./losses/kl_div/mod.ts"),
  },
  {
    kind: "loss",
    name: "rkl",
    summary: "Divergence from the draft's distribution: rather few tokens right than all covered",
    load: () => import("./losses/rkl/mod.ts"),
  },
  {
    kind: "loss",
    name: "jsd",
    summary: "Jensen-Shannon divergence: between kl_div and rkl, bounded",
    load: () => import("./losses/jsd/mod.ts"),
  },
  {
    kind: "loss",
    name: "ce",
    summary: "Cross-entropy with the verifier's likeliest token",
    load: () => import("./losses/ce/mod.ts"),
  },
  {
    kind: "loss",
    name: "tv",
    summary: "Total variation: the share of drafted tokens that sampling refuses",
    load: () => import("./losses/tv/mod.ts"),
  },
  {
    kind: "loss",
    name: "nla",
    summary: "LK: negative logarithm of the share that sampling accepts",
    load: () => import("./losses/nla/mod.ts"),
  },
  {
    kind: "loss",
    name: "lk_hybrid",
    summary: "LK hybrid: kl_div while little is accepted, then tv",
    load: () => import("./losses/lk_hybrid/mod.ts"),
  },
];

/** The registry of the built-in plugins; {@linkcode Registry.import} adds those of others. */
export function builtins(): Registry {
  return createRegistry(ENTRIES);
}
