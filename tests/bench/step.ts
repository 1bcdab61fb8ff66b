/**
 * One training step of an Eagle-3 draft of some size, beside upstream's on PyTorch: as it ships, and with its attention
 * replaced by SDPA. The processes take turns, so that a machine that is busy slows all; `SPECULATORS_PYTHON` names a
 * Python with `speculators` 0.4, without which only our figures are there.
 */
import { fileURLToPath } from "node:url";
import { standard, table } from "../../cli/ui.ts";
import { median, type Row, row } from "./row.ts";
import { type Step, Stepper } from "./stepper.ts";

const ROUNDS = 3;

/** Rows trained: all, as it costs most; and every other run of 64, as a conversation has it. Upstream's cost is the same. */
const MASKS: Readonly<Record<string, (row: number) => boolean>> = {
  "all rows trained": () => true,
  "half of the rows trained": (row) => row % 128 >= 64,
};

/** Ops that are products of matrices, weights in them. */
const PRODUCTS: ReadonlySet<string> = new Set(["matmul", "matmul_add", "linears"]);

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** The rows, for each mask; tables of the ops' shares go to stderr. */
export async function stepRows(): Promise<Row[]> {
  const rows: Row[] = [];
  for (const [title, trained] of Object.entries(MASKS)) rows.push(...await maskRows(title, trained));
  const webgpu = await deviceTable("webgpu", "1".repeat(sizes().length));
  if (webgpu) standard("stderr").write(webgpu);
  return rows;
}

function sizes(): { readonly length: number } {
  return JSON.parse(Deno.readTextFileSync(path("train_step.json"))) as { length: number };
}

function ours(device: string, mask: string): Promise<Stepper | null> {
  const script = [path("train_step.ts"), path("train_step.json"), device, mask];
  return Stepper.start(Deno.execPath(), ["run", "-A", ...script]);
}

function upstream(attention: string, mask: string): Promise<Stepper | null> {
  const python = Deno.env.get("SPECULATORS_PYTHON");
  if (!python) return Promise.resolve(null);
  return Stepper.start(python, [path("upstream_step.py"), path("train_step.json"), attention, mask]);
}

async function maskRows(title: string, trained: (row: number) => boolean): Promise<Row[]> {
  const { length } = sizes(), mask = Array.from({ length }, (_, i) => trained(i) ? "1" : "0").join("");
  await using own = await ours("wasm", mask);
  if (!own) throw new Error("expected a process that trains, received one that ended");
  await using shipped = await upstream("flex", mask);
  await using sdpa = await upstream("sdpa", mask);
  const peers = { "upstream as it ships": shipped, "upstream with SDPA": sdpa };
  await own.step(); // compiles, fills caches
  for (const peer of Object.values(peers)) await peer?.step();
  const mine: Step[] = [], theirs: Record<string, Step[]> = {};
  for (let round = 0; round < ROUNDS; round++) {
    mine.push(await own.step());
    for (const [name, peer] of Object.entries(peers)) {
      if (peer) (theirs[name] ??= []).push(await peer.step());
    }
  }
  standard("stderr").write(`wasm, ${title}\n${shares(mine)}`);
  const tokens = (steps: readonly Step[]) => length / median(steps.map(({ seconds }) => seconds));
  const peak = (steps: readonly Step[]) => steps.at(-1)!.peak / 2 ** 20;
  const rows = Object.entries(theirs).flatMap(([against, steps]) => [
    {
      ...row(`training step, ${title}`, {
        ours: tokens(mine),
        peer: tokens(steps),
        unit: "tokens/s",
        against,
      }),
      ratio: median(steps.map(({ seconds }, i) => seconds / mine[i]!.seconds)),
    },
    row(`peak memory of the process, ${title}`, {
      ours: peak(mine),
      peer: peak(steps),
      unit: "MiB",
      against,
      less: true,
    }),
  ]);
  if (rows.length === 0) {
    const figures = {
      ours: tokens(mine),
      peer: NaN,
      unit: "tokens/s",
      against: "none: no SPECULATORS_PYTHON",
    };
    rows.push(row(`training step, ${title}`, figures));
  }
  return [
    ...rows,
    row(`products' share of a step, ${title}`, {
      ours: productShare(mine),
      peer: 0.7,
      unit: "share",
      against: "wanted at least",
    }),
  ];
}

function summed(steps: readonly Step[]): [name: string, seconds: number][] {
  const all: Record<string, number> = {};
  for (const { ops = {} } of steps) {
    for (const [name, seconds] of Object.entries(ops)) all[name] = (all[name] ?? 0) + seconds;
  }
  return Object.entries(all).sort(([, a], [, b]) => b - a);
}

function total(steps: readonly Step[]): number {
  return steps.reduce((sum, { seconds }) => sum + seconds, 0);
}

function productShare(steps: readonly Step[]): number {
  const products = summed(steps).filter(([name]) => PRODUCTS.has(name));
  return products.reduce((sum, [, seconds]) => sum + seconds, 0) / total(steps);
}

/** A table of the ops' shares of the steps' time, the slowest first. */
function shares(steps: readonly Step[]): string {
  const whole = total(steps), found = summed(steps);
  const rest = whole - found.reduce((sum, [, seconds]) => sum + seconds, 0);
  const lines = [...found, ["between ops", rest] as const].filter(([, seconds]) => seconds >= 0.001 * whole);
  return table([
    ["op", "ms a step", "share"],
    ...lines.map(([name, seconds]) => [
      name,
      (1000 * seconds / steps.length).toFixed(1),
      `${(100 * seconds / whole).toFixed(1)} %`,
    ]),
  ]);
}

async function deviceTable(device: string, mask: string): Promise<string | null> {
  await using own = await ours(device, mask);
  if (!own) return null;
  await own.step();
  return `${device}, all rows trained, each op timed alone\n${shares([await own.step()])}`;
}
