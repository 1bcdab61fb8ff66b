/**
 * Training that goes on under the Python system's trainer, on several devices: writes the optimiser's file of the newest
 * checkpoint in the layout that this trainer reads, and says how it is started.
 *
 *   deno run -A examples/python_trainer.ts checkpoints fsdp
 *
 * Layouts: `0.4` is that of version 0.4 on one device, as `train` writes it; `0.7` that of version 0.7 on one device, whose
 * model registers its parameters in another order; `fsdp` that of both versions under FSDP, by name.
 *
 * @module
 */
import { join } from "node:path";
import { openTorch, type TorchInput, type TorchValue, writeTorch } from "../core/formats/torch.ts";
import { latestCheckpoint } from "../core/stages/_checkpoint_folder.ts";
import { ConfigError } from "../mod.ts";

/** Parameters that version 0.7 registers before all others. */
const FIRST = ["embed_tokens.weight", "lm_head.weight", "verifier_lm_head.weight"];

type Dict = Map<TorchValue, TorchValue>;

/** Rewrites the optimiser's file of a checkpoint for a layout: `0.4`, `0.7` or `fsdp`. */
export async function layOutOptimizer(checkpoint: string, layout: string): Promise<void> {
  if (!["0.4", "0.7", "fsdp"].includes(layout)) {
    throw new ConfigError("layout", `expected 0.4, 0.7 or fsdp, received "${layout}"`);
  }
  const path = join(checkpoint, "optimizer_state_dict.pt");
  using file = await openTorch(path);
  const { state, param_groups } = Object.fromEntries(file.value as Map<string, TorchValue>);
  const group = (param_groups as Dict[])[0]!, ids = group.get("params") as TorchValue[];
  const known = (group.get("param_names") ?? ids) as string[],
    named = new Map(ids.map((id, i) => [id, known[i]!]));
  const states = new Map([...state as Dict].map(([id, entry]) => [named.get(id)!, entry]));
  const names = layout === "0.7"
    ? [...FIRST.filter((name) => known.includes(name)), ...known.filter((name) => !FIRST.includes(name))]
    : known;
  const key = (name: string) => layout === "fsdp" ? name : names.indexOf(name);
  const rest = [...group].filter(([name]) => name !== "params" && name !== "param_names") as [
    string,
    TorchInput,
  ][];
  const written = new Map<TorchInput, TorchInput>([
    [
      "state",
      new Map(names.flatMap((name) => states.has(name) ? [[key(name), states.get(name) as TorchInput]] : [])),
    ],
    ["param_groups", [
      new Map<TorchInput, TorchInput>([
        ...(layout === "fsdp" ? [] : [["param_names", names] as [string, TorchInput]]),
        ...rest,
        ["params", names.map(key)],
      ]),
    ]],
  ]);
  await writeTorch(path, written);
}

if (import.meta.main) {
  const [folder = "checkpoints", layout = "fsdp"] = Deno.args;
  const checkpoint = await latestCheckpoint(folder);
  if (checkpoint === null) throw new ConfigError(folder, "expected checkpoints of train, received none");
  await layOutOptimizer(checkpoint, layout);
  const launch = layout === "fsdp" ? "torchrun --standalone --nproc_per_node=8" : "python";
  const newer = ["--optimizer adamw --legacy-data", ...(layout === "fsdp" ? ["--fsdp-shard"] : [])].join(" ");
  // deno-lint-ignore no-console -- what this is for
  console.log(
    `${checkpoint} is laid out for ${layout}. With the settings of its training (version 0.7 needs ${newer} too):\n` +
      `  ${launch} scripts/train.py --verifier-name-or-path M --data-path data --save-path ${folder} \\\n` +
      "    --d2t-path vocab/d2t.npy --t2d-path vocab/t2d.npy --epochs N",
  );
}
