/** A time after which something is given up. */

/** A promise that fails after a time, unless it is disposed of before. */
export class AsyncTimeout implements Disposable {
  /** Fails when the time is over. */
  readonly reached: Promise<never>;
  readonly #timer: ReturnType<typeof setTimeout>;

  /** @param error made when the time is over */
  constructor(milliseconds: number, error: () => Error) {
    const { promise, reject } = Promise.withResolvers<never>();
    this.reached = promise;
    this.#timer = setTimeout(() => reject(error()), Math.max(0, milliseconds));
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
