/** TensorFlow.js as a peer of the benchmark. */
import * as tf from "npm:@tensorflow/tfjs-core@4.22.0";
import "npm:@tensorflow/tfjs-backend-webgpu@4.22.0";
import type { Contestant } from "./matmul.ts";

/** TensorFlow.js on WebGPU. */
export async function tfjsContestant(): Promise<Contestant> {
  if (!await tf.setBackend("webgpu")) throw new Error("Cannot start TensorFlow.js on WebGPU");
  return {
    name: "tfjs",
    prepare({ m, k, n }) {
      const a = tf.fill([m, k], 0.5), b = tf.fill([k, n], 0.25);
      return Promise.resolve({
        async multiply() {
          const c = tf.matMul(a, b), one = tf.slice(c, [0, 0], [1, 1]);
          await one.data();
          tf.dispose([c, one]);
        },
        [Symbol.dispose]: () => tf.dispose([a, b]),
      });
    },
  };
}
