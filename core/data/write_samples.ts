/**
 * Samples on their way to the disk, on a thread of their own where there may be one: where the CPU computes, this thread
 * would not look after the disk for as long as a batch takes.
 *
 * @module
 */
import { Helper, mayLoadHelper } from "../helper.ts";
import { NumericError } from "../errors.ts";
import { convert } from "../formats/dtype.ts";
import { firstNotFinite } from "../formats/finite.ts";
import { inFlight } from "../slots.ts";
import type { HostTensor } from "../tensor.ts";
import type { Sample } from "./sample.ts";
import { type SampleFileOptions, writeSample } from "./store.ts";

/** Files that are written at once: the disk flushes several in about the time of one. */
const AT_ONCE = 4;

/** A sample and its number. */
export interface NumberedSample {
  /** Its number. */
  readonly index: number;
  /** It. */
  readonly sample: Sample;
}

/** How samples are written. */
export interface WriterOptions extends SampleFileOptions {
  /** Element type that states are written in. */
  readonly dtype: "bf16" | "f16" | "f32";
}

/** Writes samples to a folder. */
export interface SampleWriter extends Disposable {
  /**
   * Writes samples, each in one step. Their memory is given away.
   *
   * @throws {WriteError} when one cannot be written
   * @throws {NumericError} when a state is not finite: a draft that is trained on it is lost
   */
  write(samples: readonly NumberedSample[]): Promise<void>;
}

/** Opens a writer; the thread begins with the first samples. */
export function openSampleWriter(options: WriterOptions): SampleWriter {
  const url = new URL("./write_samples_helper.ts", import.meta.url);
  if (!mayLoadHelper(url)) {
    return { write: (samples) => writeSamples(samples, options), [Symbol.dispose]() {} };
  }
  let helper: Helper | undefined;
  return {
    async write(samples) {
      helper ??= new Helper(url);
      const own = samples.map(({ index, sample }) => ({ index, sample: inOwnMemory(sample) }));
      const transfer = new Set(own.flatMap(({ sample }) => sample.hidden.map(({ bytes }) => bytes.buffer)));
      await helper.ask({ body: { samples: own, options }, transfer: [...transfer] as ArrayBuffer[] });
    },
    [Symbol.dispose]: () => helper?.[Symbol.dispose](),
  };
}

/** Writes samples from this thread. */
export async function writeSamples(
  samples: readonly NumberedSample[],
  options: WriterOptions,
): Promise<void> {
  const work = async ({ index, sample }: NumberedSample) => {
    const hidden = sample.hidden.map((state, place) =>
      requireFinite(convert(state, options.dtype), { place, index })
    );
    await writeSample({ ...sample, hidden }, index, options);
  };
  for await (const _ of inFlight(samples, { limit: AT_ONCE, work }));
}

/** Looked at as it will be written: f16 ends at 65504, and some models' states do not. */
function requireFinite(
  state: HostTensor,
  { index, place }: { readonly index: number; readonly place: number },
): HostTensor {
  const found = firstNotFinite(state, { nanOnly: false });
  if (found === null) return state;
  const token = Math.floor(found.index / (state.shape[1] ?? 1));
  throw new NumericError(
    `Cannot write sample ${index}: expected finite states in ${state.dtype}, received ${found.value} ` +
      `in the state ${place} of token ${token}`,
    {
      hint: state.dtype === "f16"
        ? "Take --dtype bf16: f16 ends at 65504"
        : "What is finished is kept: look after the verifier or its server, and run the command again",
    },
  );
}

/** Memory of its own, to be given away; a view's may be that of others, too. */
function inOwnMemory(sample: Sample): Sample {
  const hidden = sample.hidden.map((state): HostTensor => {
    const { buffer, byteLength } = state.bytes;
    const whole = buffer instanceof ArrayBuffer && byteLength === buffer.byteLength;
    return whole ? state : { ...state, bytes: state.bytes.slice() };
  });
  return { ...sample, hidden };
}
