/** A process that takes one training step for each line that it is sent. */

/** What a step took. */
export interface Step {
  /** Seconds of the step. */
  readonly seconds: number;
  /** Its loss. */
  readonly loss: number;
  /** Most bytes the process ever had. */
  readonly peak: number;
  /** Seconds of each op, where the process counts them. */
  readonly ops?: Readonly<Record<string, number>>;
}

/** The process, begun and waiting. */
export class Stepper implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reader: ReadableStreamDefaultReader<string>;
  #rest = "";

  private constructor(command: string, args: readonly string[]) {
    this.#child = new Deno.Command(command, {
      args: [...args],
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    this.#writer = this.#child.stdin.getWriter();
    this.#reader = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** Starts the process and waits until it says what it runs on; `null` if it ends before. */
  static async start(command: string, args: readonly string[]): Promise<Stepper | null> {
    const stepper = new Stepper(command, args);
    if (await stepper.#line() !== null) return stepper;
    await stepper[Symbol.asyncDispose]();
    return null;
  }

  /** One step. */
  async step(): Promise<Step> {
    await this.#writer.write(new TextEncoder().encode("\n"));
    const line = await this.#line();
    if (line === null) throw new Error("expected a line from a step, received the end");
    return JSON.parse(line) as Step;
  }

  async #line(): Promise<string | null> {
    while (!this.#rest.includes("\n")) {
      const { done, value } = await this.#reader.read();
      if (done) return null;
      this.#rest += value;
    }
    const end = this.#rest.indexOf("\n"), line = this.#rest.slice(0, end);
    this.#rest = this.#rest.slice(end + 1);
    return line;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer.close().catch(() => {});
    await this.#reader.cancel();
    await this.#child.status;
  }
}
