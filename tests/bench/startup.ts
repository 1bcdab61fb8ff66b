/** How long a person waits for `--help`. */
import { fileURLToPath } from "node:url";
import { median, type Row, row } from "./row.ts";

const main = fileURLToPath(new URL("../../cli/main.ts", import.meta.url));

/** Seconds of `--help` once cached, beside those allowed and those of Deno alone. */
export async function startupRows(runs = 7): Promise<Row[]> {
  const seconds = async (...args: string[]) => {
    const found: number[] = [];
    for (let i = 0; i <= runs; i++) {
      const start = performance.now();
      const { code } = await new Deno.Command(Deno.execPath(), { args, stdout: "null", stderr: "null" })
        .output();
      if (code !== 0) throw new Error(`deno ${args.join(" ")} ended with ${code}`);
      if (i > 0) found.push((performance.now() - start) / 1000); // the first fills caches
    }
    return median(found);
  };
  const ours = await seconds("run", "-A", main, "--help"), peer = await seconds("eval", "0");
  return [
    row("--help", { ours, peer: 0.25, unit: "s", against: "the limit", less: true }),
    row("--help beside an empty program", { ours, peer, unit: "s", against: "deno eval 0", less: true }),
  ];
}
