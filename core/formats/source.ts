/**
 * What every weight file looks like from outside, whatever its format.
 *
 * @module
 */
import type { FileDType, HostTensor, Shape } from "../tensor.ts";

/** Shape and element type of a tensor in a file. */
export interface FileSpec {
  /** Axes, outermost first. */
  readonly shape: Shape;
  /** Element type. */
  readonly dtype: FileDType;
}

/** Named tensors, read one at a time. Dispose it to close its files. */
export interface TensorSource extends Disposable {
  /** Names of all tensors. */
  names(): readonly string[];
  /** Whether there is a tensor of this name. */
  has(name: string): boolean;
  /**
   * Shape and dtype of a tensor, without reading it.
   *
   * @throws {FormatError} when there is none of this name, or its element type cannot be held
   */
  spec(name: string): FileSpec;
  /**
   * Reads a tensor into memory of its own.
   *
   * @throws {FormatError} when there is none of this name, or its data is damaged
   */
  read(name: string): Promise<HostTensor>;
}
