/** Where the golden tests of the Eagle-3 plugin run. */
import type { Backend } from "../core/tensor.ts";
import { referenceBackend } from "./eagle3_golden.ts";

/** A backend to test on. */
export interface Device {
  /** For the tests' names. */
  readonly name: string;
  /** Opens it; each test opens, and disposes of, its own. */
  open(): Promise<Backend>;
  /** Why it is left out, if it is. */
  readonly skip?: string;
}

/** All of them. */
export function devices(): Device[] {
  return [{ name: "reference", open: () => Promise.resolve(referenceBackend()) }];
}
