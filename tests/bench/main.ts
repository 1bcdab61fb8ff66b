/**
 * The benchmark: each figure beside a peer's of the same run, as a ratio. `deno task bench [--json FILE] [NAME …]` with
 * names of the groups to run.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { standard, table } from "../../cli/ui.ts";
import { writeJsonAtomic } from "../../core/files.ts";
import type { Row } from "./row.ts";

/** What can be run; peers are imported by the group that needs them. */
const GROUPS: Readonly<Record<string, () => Promise<Row[]>>> = {
  matmul: async () => await (await import("./matmul.ts")).matmulRows(),
  startup: async () => await (await import("./startup.ts")).startupRows(),
  decode: async () => {
    const { batchRows, decodeRows } = await import("./decode.ts");
    return [...await decodeRows("wasm"), ...await batchRows("wasm")];
  },
  train: async () => [
    ...await (await import("./train.ts")).trainRows(),
    ...await (await import("./step.ts")).stepRows(),
  ],
  data: async () => await (await import("./data.ts")).dataRows(),
  smollm2: async () => await (await import("./smollm2.ts")).smollm2Rows(),
  serve: async () => await (await import("./serve.ts")).serveRows(),
  convert: async () => await (await import("./convert.ts")).convertRows(),
  drafts: async () => await (await import("./drafts.ts")).draftRows(),
};

const { values, positionals } = parseArgs({ options: { json: { type: "string" } }, allowPositionals: true });
const unknown = positionals.find((name) => !(name in GROUPS));
const out = standard("stdout"), err = standard("stderr");
if (unknown !== undefined) {
  err.write(`Cannot run "${unknown}": expected one of ${Object.keys(GROUPS).join(", ")}\n`);
  Deno.exit(2);
}
const rows: Row[] = [];
for (const [name, run] of Object.entries(GROUPS)) {
  if (positionals.length > 0 && !positionals.includes(name)) continue;
  err.write(`${name} …\n`);
  rows.push(...await run());
}
const number = (x: number) => Number.isNaN(x) ? "–" : x >= 100 ? x.toFixed(0) : x.toPrecision(3);
out.write(table([
  ["what", "ours", "peer", "unit", "ratio", "peer is"],
  ...rows.map((
    row,
  ) => [
    row.name,
    number(row.ours),
    number(row.peer),
    row.unit,
    Number.isNaN(row.ratio) ? "–" : `${row.ratio.toFixed(2)} ×`,
    row.against,
  ]),
]));
if (values.json) await writeJsonAtomic(values.json, rows, { indent: 2 });
Deno.exit(0); // peers leave workers behind
