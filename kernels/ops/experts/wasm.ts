/** Mixtures of experts on the CPU. */
import { DTYPE_CODE, rowGrain, type Wasm, workspace } from "../_wasm.ts";
import {
  EXPERT_TILE,
  type ExpertLinearAttrs,
  type ExpertPlanAttrs,
  expertSizes,
  planTiles,
  type RouteAttrs,
} from "./mod.ts";

/** Columns worked at once: so many widened ones stay in a cache; of columns that lie across, a cache line's. */
const CHUNK = 8, CHUNK_ACROSS = 32;
/** Entries of weights that are worth a thread's while. */
const WORTH = 1 << 16;
/** How the kernel names MXFP4 among dtypes. */
const MXFP4 = 3;

/** logits → experts, weights. */
export const wasmRoute: Wasm<RouteAttrs> = (call, [logits], outputs, { count, overAll = false }) => {
  const [rows, experts] = logits!.shape as [number, number];
  const addresses = [logits!, ...outputs].map((tensor) => call.address(tensor));
  call.launch(
    "route",
    [...addresses, experts, count, overAll ? 1 : 0],
    rows,
    rowGrain(experts * (count + 8)),
  );
};

/** experts → plan. */
export const wasmPlan: Wasm<ExpertPlanAttrs> = (call, [chosen], [plan], { experts }) => {
  const [t, count] = chosen!.shape as [number, number], rows = t * count;
  const args = [call.address(chosen!), call.address(plan!), rows, experts, planTiles(rows, experts)];
  call.launch("expert_plan", [...args, call.scratch(4 * (experts + 1))], 1);
};

/** (x, plan, weight, …) → the rows' products. */
export const wasmLinear: Wasm<ExpertLinearAttrs> = (call, inputs, [out], attrs) => {
  const { rows, experts, depth, columns, packed } = expertSizes(inputs, attrs);
  const [x, plan, weight, ...rest] = inputs, { repeat, inputFirst = false, bias = false } = attrs;
  const order = call.view(plan!), most = planTiles(rows, experts);
  let tiles = 0;
  while (tiles < most && order[rows + 3 * tiles + 2]! > 0) tiles++;
  if (tiles * columns === 0) return;
  const chunk = inputFirst ? CHUNK_ACROSS : CHUNK;
  const floats = (EXPERT_TILE + chunk) * depth + EXPERT_TILE * chunk;
  const args = [
    ...[x!, plan!, weight!, out!].map((tensor) => call.address(tensor)),
    depth,
    columns,
    packed ? MXFP4 : DTYPE_CODE[weight!.dtype],
    inputFirst ? 1 : 0,
    packed ? call.address(rest[0]!) : 0,
    bias ? call.address(rest.at(-1)!) : 0,
    repeat,
    rows,
    chunk,
    workspace(call, 4 * floats * call.threads),
    floats,
  ];
  const grain = Math.ceil(WORTH / Math.max(depth, 1) / chunk) * chunk;
  call.launch("expert_linear", args, tiles * columns, grain);
};

/** (rows, y, weights) → their sum. */
export const wasmMix: Wasm<Record<never, never>> = (call, inputs, [out]) => {
  const [t, width] = inputs[0]!.shape as [number, number], count = inputs[2]!.shape[1]!;
  const addresses = [...inputs, out!].map((tensor) => call.address(tensor));
  call.launch("mix", [...addresses, width, count], t, rowGrain(width * (count + 1)));
};
