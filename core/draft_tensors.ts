/** A draft's tensors on their way onto a device and back. */
import { ConfigError } from "./errors.ts";
import { convert } from "./formats/dtype.ts";
import type { DraftTensorInfo } from "./plugin.ts";
import type { Backend, DType, FileDType, HostTensor, Tensor, TypedArray } from "./tensor.ts";

const DEVICE_DTYPE: Readonly<Partial<Record<FileDType, DType>>> = {
  i64: "i32",
  u32: "i32",
  bool: "u8",
  f64: "f32",
};

/** A draft's tensors in a backend's memory. */
export interface DraftTensors extends Disposable {
  /** All by name. */
  readonly all: ReadonlyMap<string, Tensor>;
  /** Those that training changes, f32. */
  readonly trained: ReadonlyMap<string, Tensor>;
}

/**
 * Copies a draft's tensors onto a device. What is trained becomes f32; other weights stay as stored.
 *
 * @throws {ConfigError} when a tensor that the draft needs is missing or of another shape
 */
export function uploadDraft(
  backend: Backend,
  host: ReadonlyMap<string, HostTensor>,
  infos: readonly DraftTensorInfo[],
): DraftTensors {
  const all = new Map<string, Tensor>(), trained = new Map<string, Tensor>();
  for (const info of infos) {
    const tensor = host.get(info.name);
    if (!tensor) {
      if (info.required === false) continue;
      throw new ConfigError(
        "draft model",
        `expected a tensor "${info.name}" [${info.shape.join(", ")}], received none`,
      );
    }
    if (tensor.shape.join() !== info.shape.join()) {
      throw new ConfigError(
        "draft model",
        `expected "${info.name}" as [${info.shape.join(", ")}], received [${tensor.shape.join(", ")}]`,
        { hint: "Is this the verifier and the vocabulary mapping that the draft was made for?" },
      );
    }
    const ready = info.trained ? convert(tensor, "f32") : tensor;
    const uploaded = backend.upload(ready, DEVICE_DTYPE[ready.dtype] ?? ready.dtype as DType);
    all.set(info.name, uploaded);
    if (info.trained) trained.set(info.name, uploaded);
  }
  return {
    all,
    trained,
    [Symbol.dispose]() {
      for (const tensor of all.values()) tensor[Symbol.dispose]();
    },
  };
}

/**
 * The tensors a checkpoint keeps: the trained ones as they are on the device now, the others as they came.
 *
 * @param host what {@linkcode uploadDraft} was given
 */
export async function downloadDraft(
  tensors: DraftTensors,
  host: ReadonlyMap<string, HostTensor>,
  infos: readonly DraftTensorInfo[],
): Promise<Map<string, HostTensor>> {
  const saved = infos.filter((info) => info.saved && host.has(info.name));
  const fresh = saved.filter((info) => info.trained);
  const backend = fresh[0] && tensors.all.get(fresh[0].name)!.backend;
  const data = backend ? await backend.readAll(fresh.map((info) => tensors.all.get(info.name)!)) : [];
  const content = new Map(fresh.map((info, i) => [info.name, data[i]!]));
  return new Map(saved.map(({ name, shape }) => {
    const values = content.get(name);
    return [name, values ? { shape, dtype: "f32", bytes: bytesOf(values) } as const : host.get(name)!];
  }));
}

/** The bytes under a typed array. */
function bytesOf(values: TypedArray): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
