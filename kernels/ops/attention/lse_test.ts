import assert from "node:assert/strict";
import type { Spec, Tensor } from "../../../core/tensor.ts";
import { open } from "../../mod.ts";
import { attentionOp } from "./mod.ts";

Deno.test("a gradient that arrives at the sums of exponentials is refused, not left out", async () => {
  using backend = await open("wasm", { threads: 1 });
  using _scope = backend.scope();
  const attrs = { heads: 1, kvHeads: 1, headDim: 4, scale: 0.5 };
  const rows = () => backend.from(Float32Array.from({ length: 8 }, (_, i) => Math.sin(i)), [2, 4]);
  const inputs = [rows(), rows(), rows(), backend.from(Int32Array.of(0, 1, 0, 2), [2, 2])];
  const outputs = backend.run(attentionOp, inputs, attrs), like = ({ shape }: Spec) => backend.zeros(shape);
  const back = (douts: readonly (Tensor | null)[]) =>
    attentionOp.grad!(backend.run, { inputs, outputs, douts, attrs, needs: [true, true, true, false] });
  assert.equal(back([like(outputs[0]!), null])[0]?.shape.join(), "2,4");
  for (const dout of [like(outputs[0]!), null]) {
    assert.throws(() => back([dout, like(outputs[1]!)]), {
      code: "E_TAPE",
      message: /received one by "lse"/,
    });
  }
});
