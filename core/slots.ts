/** How much is under way at once. */

/** A number of slots: whoever finds none free waits, in the order of coming. */
export class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  /** @param count things that may be under way at once */
  constructor(count: number) {
    this.#free = count;
  }

  /** Runs a piece of work in a slot. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve)); // the slot is handed on
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free++;
    }
  }
}

/**
 * Works on items, at most `limit` at once, and gives results as they come. Items are taken from the iterable as there is
 * room. When a piece of work fails, no further one is begun, those under way are waited for, and the first failure is
 * thrown. A consumer that stops early waits for them too.
 */
export async function* inFlight<T, R>(
  items: AsyncIterable<T> | Iterable<T>,
  options: { readonly limit: number; readonly work: (item: T) => Promise<R> },
): AsyncGenerator<R, void, void> {
  type Outcome = { readonly key: number } & ({ readonly value: R } | { readonly error: unknown });
  const running = new Map<number, Promise<Outcome>>();
  let key = 0;
  const settle = async (): Promise<R> => {
    const outcome = await Promise.race(running.values());
    running.delete(outcome.key);
    if ("error" in outcome) throw outcome.error;
    return outcome.value;
  };
  try {
    for await (const item of items) {
      const own = key++;
      running.set(
        own,
        options.work(item).then((value) => ({ key: own, value }), (error) => ({ key: own, error })),
      );
      if (running.size >= options.limit) yield await settle();
    }
    while (running.size > 0) yield await settle();
  } finally {
    await Promise.all(running.values());
  }
}
