/** Products of matrices beside other libraries on the same processor, or the same adapter. */
import type { Backend } from "../../core/tensor.ts";
import { open, probe } from "../../kernels/mod.ts";
import { matmul, slice } from "../../kernels/ops/mod.ts";
import { median, type Row, row } from "./row.ts";

/** Sizes of `[M, K] · [K, N]`. */
export interface Sizes {
  readonly m: number;
  readonly k: number;
  readonly n: number;
}

/** A library that multiplies. */
export interface Contestant {
  /** Its name. */
  readonly name: string;
  /** Makes matrices of some sizes; `multiply` returns when one product is there. */
  prepare(sizes: Sizes): Promise<Disposable & { multiply(): Promise<void> }>;
}

/** Square, a prefill's linear layer, a decode step's. */
const SIZES: readonly Sizes[] = [
  { m: 1024, k: 1024, n: 1024 },
  { m: 512, k: 576, n: 1536 },
  { m: 4, k: 576, n: 1536 },
];
/** Rounds in which all take turns. */
const ROUNDS = 9;
/** Milliseconds each takes in a round, at least. */
const TURN = 60;

/** One of our backends; linear layers' weights are stored transposed, so the sizes of layers are measured that way. */
function ours(backend: Backend): Contestant {
  return {
    name: backend.name,
    prepare({ m, k, n }) {
      const transB = m !== n, scope = backend.scope();
      const a = backend.from(new Float32Array(m * k).fill(0.5), [m, k]);
      const b = backend.from(new Float32Array(k * n).fill(0.25), transB ? [n, k] : [k, n]);
      return Promise.resolve({
        async multiply() {
          using _inner = backend.scope();
          const c = matmul(backend.run, a, b, { transB });
          const corner = slice(backend.run, c, { axis: 0, start: 0, end: 1 });
          const [first] = await backend.read(corner);
          if (Math.abs(first! / (k / 8) - 1) > 1e-4) throw new Error(`The product is wrong: ${first}`);
        },
        [Symbol.dispose]: () => scope[Symbol.dispose](),
      });
    },
  };
}

/** GFLOPS of each contestant, median of rounds in which they take turns. */
async function compare(contestants: readonly Contestant[], sizes: Sizes): Promise<number[]> {
  const prepared = [];
  for (const contestant of contestants) prepared.push(await contestant.prepare(sizes));
  const flops = 2 * sizes.m * sizes.k * sizes.n, rates: number[][] = contestants.map(() => []);
  for (let round = -1; round < ROUNDS; round++) { // the first warms up
    for (const [i, { multiply }] of prepared.entries()) {
      const start = performance.now();
      let times = 0, spent = 0;
      for (; spent < TURN; spent = performance.now() - start, times++) await multiply();
      if (round >= 0) rates[i]!.push(flops * times / spent / 1e6);
    }
  }
  for (const one of prepared) one[Symbol.dispose]();
  return rates.map(median);
}

async function rows(backend: Backend, peers: readonly Contestant[]): Promise<Row[]> {
  const found: Row[] = [];
  for (const sizes of SIZES) {
    const [own, ...others] = await compare([ours(backend), ...peers], sizes);
    const best = others.indexOf(Math.max(...others));
    found.push(row(`matmul ${sizes.m} × ${sizes.k} × ${sizes.n}, ${backend.name}`, {
      ours: own!,
      peer: others[best]!,
      unit: "GFLOPS",
      against: peers[best]!.name,
    }));
  }
  return found;
}

/** WASM beside jax-js; where there is an adapter, WebGPU beside the better of jax-js and TensorFlow.js. */
export async function matmulRows(): Promise<Row[]> {
  const found: Row[] = [];
  const { jaxContestant } = await import("./_jax.ts");
  {
    using backend = await open("wasm");
    found.push(...await rows(backend, [await jaxContestant("wasm")]));
  }
  if (!(await probe()).webgpu.available) return found;
  const { tfjsContestant } = await import("./_tfjs.ts");
  using backend = await open("webgpu");
  found.push(...await rows(backend, [await jaxContestant("webgpu"), await tfjsContestant()]));
  return found;
}
