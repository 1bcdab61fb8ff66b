/** The golden cases of verifiers, in whichever set they are. */
import { golden, goldenJson } from "./golden.ts";

/** A case. */
export interface VerifierCase {
  /** Its name. */
  readonly name: string;
  /** Its folder. */
  readonly folder: string;
  /** Bytes of its files. */
  readonly bytes: number;
  /** Its `config.json`. */
  readonly config: Readonly<Record<string, unknown>>;
}

/** All cases, the smallest first. */
export function verifierCases(): readonly VerifierCase[] {
  return ["verifiers", "verifiers-more"].flatMap((set) => {
    const { cases } = goldenJson<{ cases: Record<string, { bytes: number }> }>(set, "manifest.json");
    return Object.entries(cases).map(([name, { bytes }]): VerifierCase => ({
      name,
      folder: golden(set, name),
      bytes,
      config: goldenJson(set, name, "config.json"),
    }));
  }).sort((a, b) => a.bytes - b.bytes);
}
