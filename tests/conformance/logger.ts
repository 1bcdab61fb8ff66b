/**
 * What every logger must do: a suite for plugins of third parties too. What it writes is its own affair; that a run goes on
 * whatever the numbers are is everyone's.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { Logger, LoggerPlugin } from "../../core/plugin.ts";
import { type Register, registrarOf } from "./register.ts";

/** What {@linkcode loggerConformance} tests. */
export interface LoggerSubject {
  /** Begins the tests' names. */
  readonly name: string;
  /** The plugin. */
  readonly plugin: Pick<LoggerPlugin, "open">;
  /** Registers each test; `Deno.test` if absent. */
  readonly test?: Register;
}

/** Registers the tests of a logger. */
export function loggerConformance(subject: LoggerSubject): void {
  const register = registrarOf(subject);
  const test = (
    name: string,
    body: (open: (run: string) => Promise<Logger>, folder: string) => Promise<void>,
  ) =>
    register(`${subject.name}: ${name}`, async () => {
      const folder = await Deno.makeTempDir();
      try {
        await body(async (run) => {
          await Deno.mkdir(join(folder, run), { recursive: true });
          const settings = { lr: 1e-3, data: ["a", "b"], nested: { on: true, none: null } };
          return await subject.plugin.open({ name: run, folder: join(folder, run), settings });
        }, folder);
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    });

  test("log and close give promises that are kept", async (open) => {
    const logger = await open("run");
    const logged = logger.log(1, { "train/loss": 0.5, "train/loss_0": 0.25 });
    assert.ok(logged instanceof Promise, "log gives no promise");
    await logged;
    const closed = logger.close();
    assert.ok(closed instanceof Promise, "close gives no promise");
    await closed;
  });

  test("numbers that are none, and steps without values, do not stop it", async (open) => {
    const logger = await open("run");
    for (const value of [NaN, Infinity, -Infinity, -0, 1e308, 5e-324]) await logger.log(1, { value });
    await logger.log(2, {});
    await logger.log(2 ** 40, { 'a name with blanks, ü and "quotes"': 1 });
    await logger.close();
  });

  test("steps may be logged without waiting for one another", async (open) => {
    const logger = await open("run");
    await Promise.all(Array.from({ length: 50 }, (_, step) => logger.log(step, { step })));
    await logger.close();
  });

  test("a run that goes on keeps what was written", async (open, folder) => {
    const write = async (steps: number) => {
      const logger = await open("run");
      for (let step = 1; step <= steps; step++) await logger.log(step, { value: step });
      await logger.close();
      return await bytesIn(join(folder, "run"));
    };
    const before = await write(20), after = await write(1);
    assert.ok(after >= before, `${after} bytes are left of ${before}`);
  });

  test("two runs do not disturb each other", async (open) => {
    const [a, b] = [await open("a"), await open("b")];
    await a.log(1, { value: 1 });
    await a.close();
    await b.log(1, { value: 1 });
    await b.close();
  });
}

/** Bytes of all files below a folder; 0 when it is not there. */
async function bytesIn(folder: string): Promise<number> {
  let bytes = 0;
  try {
    for await (const { name, isDirectory } of Deno.readDir(folder)) {
      const path = join(folder, name);
      bytes += isDirectory ? await bytesIn(path) : (await Deno.stat(path)).size;
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return bytes;
}
