/** An op as a plugin would bring it: a leaky ReLU of its own, with its reference and cases. */
import { ShapeError } from "../../core/errors.ts";
import { describe, elements, type Op } from "../../core/tensor.ts";
import type { OpCases } from "./op_cases.ts";
import { exactly, inputs, normal } from "./random.ts";
import { array } from "./reference/array.ts";

interface LeakyAttrs {
  /** Slope below 0. */
  readonly slope: number;
}

/** The same code for the value (a one-input call) and its gradient (input and output gradient). */
function code(backward: boolean): string {
  return `
struct Params { count: u32, slope: f32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
${backward ? "@group(0) @binding(1) var<storage, read> d: array<f32>;" : ""}
@group(0) @binding(${backward ? 2 : 1}) var<storage, read_write> out: array<f32>;
@group(0) @binding(${backward ? 3 : 2}) var<uniform> params: Params;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.count) { return; }
  out[id.x] = select(params.slope, 1.0, x[id.x] > 0.0) * ${backward ? "d" : "x"}[id.x];
}`;
}

function leaky(backward: boolean): Op<LeakyAttrs> {
  const name = backward ? "test_leaky_relu_grad" : "test_leaky_relu";
  return {
    name,
    infer(specs) {
      const [x, d] = specs;
      if (
        specs.length !== (backward ? 2 : 1) || x?.dtype !== "f32" || (d && d.shape.join() !== x.shape.join())
      ) {
        throw new ShapeError(
          name,
          `expected f32 of one shape, received ${specs.map(describe).join(" and ")}`,
        );
      }
      return [{ shape: x.shape, dtype: "f32" }];
    },
    wgsl([x], _outputs, { slope }) {
      const count = elements(x!.shape);
      return [{
        code: code(backward),
        bind: [{ input: 0 }, ...(backward ? [{ input: 1 }] : []), { output: 0 }],
        params: [{ u32: count }, { f32: slope }],
        grid: [Math.ceil(count / 64), 1, 1],
      }];
    },
    wasm(call, [x, d], [out], { slope }) {
      const from = call.view(x!), factor = call.view(d ?? x!), to = call.view(out!);
      from.forEach((value, i) => to[i] = (value > 0 ? 1 : slope) * factor[i]!);
    },
    ...(backward
      ? {}
      : { grad: (run, { inputs: [x], douts: [d], attrs }) => d ? run(leaky(true), [x!, d], attrs) : [null] }),
  };
}

/** Cases of an op that no backend knows. */
export const CUSTOM_OP: OpCases<LeakyAttrs> = {
  op: leaky(false),
  reference: ([x], { slope }) => [array(x!.shape, x!.data.map((value) => value > 0 ? value : slope * value))],
  cases: [
    ...([[1], [3], [17, 129], [0]] as const).map((shape) => ({
      name: `[${shape.join(", ")}]`,
      inputs: inputs(normal(shape)),
      attrs: { slope: 0.25 },
      gradient: [0],
    })),
    { name: "zeros", inputs: inputs(exactly([2], [0, -0])), attrs: { slope: 0.5 } },
  ],
  refusals: [{ name: "integers", inputs: [{ shape: [3], dtype: "i32" }], attrs: { slope: 1 } }],
};
