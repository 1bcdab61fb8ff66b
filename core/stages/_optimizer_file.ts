/**
 * `optimizer_state_dict.pt` and `scheduler_state_dict.pt` of a checkpoint: what torch's AdamW and LambdaLR save, so that
 * upstream's trainer goes on from them, and this one from upstream's.
 *
 * source: speculators v0.4.0.1, `train/checkpointer.py`, `train/trainer.py`; `torch.optim.Optimizer.state_dict`
 *
 * @module
 */
import { join } from "node:path";
import { ConfigError, FormatError, NotFoundError } from "../errors.ts";
import { convert, hostTensor } from "../formats/dtype.ts";
import {
  openTorch,
  TorchFloat,
  type TorchInput,
  TorchTensor,
  TorchTuple,
  type TorchValue,
  writeTorch,
} from "../formats/torch.ts";
import type { DraftTensorInfo } from "../plugin.ts";
import { elements, type HostTensor } from "../tensor.ts";

/** Name of the optimiser's file. */
export const OPTIMIZER_FILE = "optimizer_state_dict.pt";

/** Name of the schedule's file. */
export const SCHEDULER_FILE = "scheduler_state_dict.pt";

type Dict = ReadonlyMap<TorchValue, TorchValue>;

/** What is written. */
export interface OptimizerContent {
  /** Moments by `<parameter>.exp_avg`, `.exp_avg_sq` and `.step`, see `exportState`. */
  readonly moments: ReadonlyMap<string, HostTensor>;
  /** Names of all parameters of the Python model, frozen ones too, in the order it registers them. */
  readonly parameters: readonly string[];
  /** Learning rate of the run. */
  readonly lr: number;
  /** Learning rate of the next step. */
  readonly nextLr: number;
  /** Decay of the weights. */
  readonly weightDecay: number;
  /** Steps so far. */
  readonly step: number;
}

/** Writes both files into a folder. */
export async function writeOptimizerFiles(folder: string, content: OptimizerContent): Promise<void> {
  const { lr, moments, nextLr, parameters, step, weightDecay } = content,
    float = (x: number) => new TorchFloat(x);
  const state = new Map<TorchInput, TorchInput>();
  for (const [i, name] of parameters.entries()) {
    const first = moments.get(`${name}.exp_avg`), second = moments.get(`${name}.exp_avg_sq`);
    const count = moments.get(`${name}.step`);
    if (!first || !second || !count) continue;
    const steps = new DataView(count.bytes.buffer, count.bytes.byteOffset).getInt32(0, true);
    if (steps === 0) continue; // torch has no state for what never had a gradient
    state.set(i, { step: hostTensor(Float32Array.of(steps), []), exp_avg: first, exp_avg_sq: second });
  }
  const group: TorchInput = {
    param_names: parameters,
    lr: float(nextLr),
    betas: new TorchTuple<TorchInput>([float(0.9), float(0.999)]),
    eps: float(1e-8),
    weight_decay: float(weightDecay),
    amsgrad: false,
    maximize: false,
    foreach: null,
    capturable: false,
    differentiable: false,
    fused: null,
    decoupled_weight_decay: true,
    initial_lr: float(lr),
    params: parameters.map((_, i) => i),
  };
  await writeTorch(join(folder, OPTIMIZER_FILE), { state, param_groups: [group] });
  await writeTorch(join(folder, SCHEDULER_FILE), {
    base_lrs: [float(lr)],
    last_epoch: step,
    _step_count: step + 1,
    _is_initial: false,
    _get_lr_called_within_step: false,
    _last_lr: [float(nextLr)],
    lr_lambdas: [{}],
  });
}

/**
 * Reads the moments of the parameters that are trained, as `importState` takes them. What upstream kept in bfloat16 is
 * widened; a parameter that never had a gradient gets zeros.
 *
 * @param trained the parameters
 * @throws {NotFoundError} when there is no such file
 * @throws {FormatError} when it is damaged or of another optimiser
 * @throws {ConfigError} when a moment has another shape than its parameter
 */
export async function readOptimizerFile(
  folder: string,
  trained: readonly Pick<DraftTensorInfo, "name" | "shape">[],
): Promise<Map<string, HostTensor>> {
  const path = join(folder, OPTIMIZER_FILE);
  using file = await openTorch(path);
  const states = statesByName(file.value, path), found = new Map<string, HostTensor>();
  for (const { name, shape } of trained) {
    const state = states.get(name), zeros = () => hostTensor(new Float32Array(elements(shape)), shape);
    let steps = 0;
    if (state) steps = Math.round(await scalar(state.get("step"), `${path}: step of ${name}`));
    found.set(`${name}.step`, hostTensor(Int32Array.of(steps), [1]));
    for (const part of ["exp_avg", "exp_avg_sq"]) {
      const tensor = state?.get(part);
      if (!state) found.set(`${name}.${part}`, zeros());
      else if (!(tensor instanceof TorchTensor)) {
        throw new FormatError(path, `expected "${part}" of "${name}", AdamW's, received none`, OTHER);
      } else if (tensor.shape.join() !== shape.join()) {
        throw new ConfigError(
          path,
          `expected "${part}" of "${name}" as [${shape.join(", ")}], received [${tensor.shape.join(", ")}]`,
          { hint: "Is this file in the layout of the program that wrote the weights beside it?" },
        );
      } else found.set(`${name}.${part}`, convert(await tensor.read(), "f32"));
    }
  }
  return found;
}

/** Steps that the schedule has taken; `null` when there is no file of it. */
export async function readScheduler(folder: string): Promise<number | null> {
  try {
    using file = await openTorch(join(folder, SCHEDULER_FILE));
    const steps = file.value instanceof Map ? file.value.get("last_epoch") : undefined;
    return Number.isSafeInteger(Number(steps)) ? Number(steps) : null;
  } catch (error) {
    if (error instanceof NotFoundError) return null;
    throw error;
  }
}

const OTHER = { hint: "Only AdamW's state can be gone on from: train with --optimizer adamw there" };

/** States by parameter: torch numbers them within groups, and names the numbers beside them; FSDP names them at once. */
function statesByName(value: TorchValue, path: string): Map<string, Dict> {
  const state = value instanceof Map ? value.get("state") : undefined;
  const groups = value instanceof Map ? value.get("param_groups") : undefined;
  if (!(state instanceof Map) || !Array.isArray(groups)) {
    throw new FormatError(path, "expected the state of one torch optimiser, received other data", OTHER);
  }
  const names = new Map<TorchValue, string>();
  for (const group of groups) {
    const params = group instanceof Map ? group.get("params") : undefined;
    const known = group instanceof Map ? group.get("param_names") : undefined;
    if (!Array.isArray(params)) continue;
    for (const [i, id] of params.entries()) {
      const name = typeof id === "string" ? id : Array.isArray(known) ? known[i] : undefined;
      if (typeof name === "string") names.set(id, name);
    }
  }
  const found = new Map<string, Dict>();
  for (const [id, entry] of state) {
    const name = names.get(id);
    if (name === undefined || !(entry instanceof Map)) {
      throw new FormatError(path, `expected the name of parameter ${String(id)}, received none`, {
        hint: "Save it with torch 2.6 or newer, which names parameters",
      });
    }
    found.set(name, entry);
  }
  return found;
}

async function scalar(value: TorchValue | undefined, where: string): Promise<number> {
  if (typeof value === "number" || typeof value === "bigint") return Number(value);
  if (value instanceof TorchTensor && elements(value.shape) === 1) {
    const { bytes } = convert(await value.read(), "f32");
    return new DataView(bytes.buffer, bytes.byteOffset).getFloat32(0, true);
  }
  throw new FormatError(where, "expected a number, received other data");
}
