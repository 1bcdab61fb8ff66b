/** The one place that imports the Parquet reader and what it decompresses with. */
export { parquetMetadataAsync, parquetReadObjects } from "npm:hyparquet@1.31.5";
export type { AsyncBuffer, Compressors, FileMetaData } from "npm:hyparquet@1.31.5";
export { compressors } from "npm:hyparquet-compressors@1.1.2";
