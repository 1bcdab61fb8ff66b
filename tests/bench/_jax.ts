/** jax-js as a peer of the benchmark. */
import { blockUntilReady, defaultDevice, init, jit, numpy as np } from "npm:@jax-js/jax@0.1.25";
import type { Contestant } from "./matmul.ts";

/** jax-js on a device: compiled, and waited for. */
export async function jaxContestant(device: "wasm" | "webgpu"): Promise<Contestant> {
  if (!(await init(device)).includes(device)) throw new Error(`Cannot start jax-js on ${device}`);
  return {
    name: "jax-js",
    async prepare({ m, k, n }) {
      defaultDevice(device);
      const a = np.array(new Float32Array(m * k).fill(0.5)).reshape([m, k]);
      const b = np.array(new Float32Array(k * n).fill(0.25)).reshape([k, n]);
      await blockUntilReady([a.ref, b.ref]);
      const product = jit((x: typeof a, y: typeof b) => np.matmul(x, y));
      return {
        async multiply() {
          const c = await blockUntilReady(product(a.ref, b.ref));
          c.dispose();
        },
        [Symbol.dispose]() {
          a.dispose();
          b.dispose();
          product.dispose();
        },
      };
    },
  };
}
