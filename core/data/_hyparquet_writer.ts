/** The one place that imports the Parquet writer; for tests only. */
export { parquetWriteBuffer } from "npm:hyparquet-writer@0.17.0";
