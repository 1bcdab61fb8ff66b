/**
 * What every weight file looks like from outside, whatever its format.
 *
 * @module
 */
import type { BlockDType, FileDType, HostTensor, Shape, StoredTensor } from "../tensor.ts";

/** Shape and element type of a tensor in a file. */
export interface FileSpec {
  /** Axes, outermost first. */
  readonly shape: Shape;
  /** Element type. */
  readonly dtype: FileDType;
}

/** Rows of a tensor: those of its first axis from `start` up to, not including, `end`. */
export interface RowRange {
  /** First row; 0 unless given. */
  readonly start?: number;
  /** One past the last row; the number of rows unless given. */
  readonly end?: number;
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
  /**
   * Reads some rows of a tensor, and little else of the file. Where it is missing, tensors are read whole.
   *
   * @throws {FormatError} when there is no such tensor, or it has not these rows
   */
  readRange?(name: string, rows: RowRange): Promise<HostTensor>;
  /** In which blocks a tensor is stored, of those that backends compute with; `null` for none. None are where it is missing. */
  blocks?(name: string): BlockDType | null;
  /**
   * Reads a tensor that is stored in blocks as it is; {@linkcode TensorSource.read} widens it.
   *
   * @throws {FormatError} when it is not stored so, or its data is damaged
   */
  readBlocks?(name: string): Promise<StoredTensor>;
}
