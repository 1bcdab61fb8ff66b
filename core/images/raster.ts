/** Pixels in plain memory. */

/** An image as 8-bit colours; what was transparent is not, as Pillow's `convert("RGB")` leaves it. */
export interface Raster {
  /** Pixels of a row. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
  /** `[height, width, 3]`: red, green, blue. */
  readonly rgb: Uint8Array;
}
