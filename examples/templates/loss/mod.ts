/** A loss: half the squared distance between the two rows of logits. */
import { definePlugin, type LossPlugin, type RowLossOp, ShapeError } from "../../../mod.ts";

const WGSL = `
struct Params { width: u32 }
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> targets: array<f32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> loss: array<f32>;
@group(0) @binding(4) var<storage, read_write> gradient: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;
@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) id: vec3u) {
  let row = id.x + 32768u * id.y;
  if (row >= arrayLength(&weights)) { return; }
  let weight = weights[row];
  var sum = 0.0;
  for (var i = row * params.width; i < (row + 1u) * params.width; i++) {
    if (weight == 0.0) { gradient[i] = 0.0; continue; }
    let difference = logits[i] - targets[i];
    sum += 0.5 * difference * difference;
    gradient[i] = weight * difference;
  }
  loss[row] = weight * sum;
}`;

const rows: RowLossOp = {
  name: "my_loss_rows", // an op's name begins with its plugin's
  infer([logits, targets, weights]) {
    const [count, width] = logits?.shape ?? [];
    if (width === undefined || targets?.shape.join() !== `${count},${width}` || weights?.shape[0] !== count) {
      throw new ShapeError(
        "my_loss_rows",
        "expected logits and targets [R, V] and weights [R], received others",
      );
    }
    return [{ shape: [count!], dtype: "f32" }, { shape: [count!, width], dtype: "f32" }];
  },
  wgsl: ([logits]) => {
    const [count, width] = logits!.shape as [number, number];
    return [{
      code: WGSL,
      bind: [{ input: 0 }, { input: 1 }, { input: 2 }, { output: 0 }, { output: 1 }],
      params: [{ u32: width }],
      grid: [Math.min(count, 32768), Math.ceil(count / 32768), 1],
    }];
  },
  wasm(call, inputs, outputs) {
    const [logits, targets, weights] = inputs.map((tensor) => call.view(tensor));
    const [loss, gradient] = outputs.map((tensor) => call.view(tensor));
    const width = inputs[0]!.shape[1]!;
    weights!.forEach((weight, row) => {
      let sum = 0;
      for (let i = row * width; i < (row + 1) * width; i++) {
        const difference = weight === 0 ? 0 : logits![i]! - targets![i]!;
        sum += 0.5 * difference * difference;
        gradient![i] = weight * difference;
      }
      loss![row] = weight * sum;
    });
  },
};

const plugin: LossPlugin = definePlugin({
  apiVersion: 1,
  kind: "loss",
  name: "my_loss",
  summary: "Half the squared distance between the logits",
  load: () => Promise.resolve({ rows }),
});

export default plugin;
