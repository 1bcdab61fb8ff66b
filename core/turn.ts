/**
 * Lets the process have a turn. Where the CPU computes, a loop may go on for minutes without ever waiting: every promise
 * in it is settled already, so timers and signals, Ctrl-C among them, would not be seen.
 *
 * @module
 */
import { AbortedError } from "./errors.ts";

/** Milliseconds that a loop may keep to itself: a turn costs two, and a person notices no delay of this length. */
const INTERVAL = 200;

/** When the event loop last had a turn: one loop knows what another one did. */
let last = 0;

/**
 * Gives the event loop a turn if it had none for a while, then looks whether to stop.
 *
 * @throws {AbortedError} when the signal is given
 */
export async function turn(signal?: AbortSignal): Promise<void> {
  if (performance.now() - last > INTERVAL) {
    // Not `setImmediate`: after it, signals are often not seen yet.
    await new Promise<void>((resolve) => setTimeout(resolve, 0));
    last = performance.now();
  }
  if (signal?.aborted) throw new AbortedError();
}

/** Lets whoever waits for a file or a connection go on: some microseconds, unlike {@linkcode turn}, which signals need. */
export function breathe(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
