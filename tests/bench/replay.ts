/** Times ops of a device that works behind the program's back: each is noted as it is called, and run again alone. */
import { type Attrs, type Backend, describe, type Op, type Run, type Spec } from "../../core/tensor.ts";

interface Noted {
  readonly op: Op;
  readonly inputs: readonly Spec[];
  readonly attrs: Attrs;
  count: number;
}

/** Notes every op that runs on the backend from now on, those that are put together from others left out. */
export class Replay {
  readonly #noted = new Map<string, Noted>();
  readonly #run: Run;
  readonly #backend: Backend;

  constructor(backend: Backend) {
    this.#backend = backend;
    this.#run = backend.run;
    const noting: Run = (op, inputs, attrs) => {
      if (!op.compose) this.#note(op as unknown as Op, inputs, attrs);
      return this.#run(op, inputs, attrs);
    };
    Object.defineProperty(backend, "run", { value: noting });
  }

  /** Forgets what was noted. */
  clear(): void {
    this.#noted.clear();
  }

  #note(op: Op, inputs: readonly Spec[], attrs: Attrs): void {
    const key = `${op.name} ${inputs.map(describe).join()} ${JSON.stringify(attrs)}`;
    const known = this.#noted.get(key);
    if (known) known.count++;
    else {
      const specs = inputs.map(({ shape, dtype }) => ({ shape, dtype }));
      this.#noted.set(key, { op, inputs: specs, attrs, count: 1 });
    }
  }

  /** Seconds by op: each call's own time, as often as it was noted. */
  async seconds(): Promise<Record<string, number>> {
    const found: Record<string, number> = {}, backend = this.#backend;
    using nothing = backend.zeros([1]);
    const wait = async () => {
      const start = performance.now();
      await backend.read(nothing);
      return performance.now() - start;
    };
    await wait();
    const idle = await wait();
    for (const { op, inputs, attrs, count } of this.#noted.values()) {
      using _scope = backend.scope();
      const tensors = inputs.map(({ shape, dtype }) => backend.zeros(shape, dtype));
      const start = performance.now();
      this.#run(op, tensors, attrs);
      await backend.read(nothing);
      const took = Math.max(0, performance.now() - start - idle);
      found[op.name] = (found[op.name] ?? 0) + count * took / 1000;
    }
    return found;
  }
}
