/** Conversion of a published draft, as a whole process: how long, how much memory, and how fast types are changed. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { convert } from "../../core/formats/dtype.ts";
import { makeHeader } from "../../core/formats/_safetensors_header.ts";
import { writeTorch } from "../../core/formats/torch.ts";
import { openSafetensors, writeSafetensors } from "../../core/formats/safetensors.ts";
import { byteLength, type HostTensor } from "../../core/tensor.ts";
import { dequantise } from "../../kernels/wasm/quantised.ts";
import { median, type Row, row } from "./row.ts";

const main = fileURLToPath(new URL("../../cli/main.ts", import.meta.url));

/** Sizes of a draft; `vocab` makes it larger or smaller. */
interface Draft {
  readonly hidden: number;
  readonly intermediate: number;
  readonly vocab: number;
}

/** Seconds and peak memory of conversions of 400 MB and 4 GB, and rates of the casts. */
export async function convertRows(): Promise<Row[]> {
  const folder = await Deno.makeTempDir();
  try {
    const medium = { hidden: 3072, intermediate: 8192, vocab: 20_000 };
    const large = { hidden: 8192, intermediate: 28_672, vocab: 64_000 };
    const at = (...parts: string[]) => join(folder, ...parts);
    await writeDraft(at("safetensors"), medium, { as: "safetensors" });
    await writeDraft(at("bin"), medium, { as: "torch" });
    await writeDraft(at("large"), large);
    const rows: Row[] = [];
    for (
      const [name, file] of [["safetensors", "model.safetensors"], ["bin", "pytorch_model.bin"]] as const
    ) {
      const { copy, hash } = await copyAndHash(at(name, file), at("copy"));
      const { seconds, peak } = await converted(at(name), at("out"));
      rows.push(row(`convert 400 MB of ${name}`, {
        ours: seconds,
        peer: 1.5 * (copy + hash),
        unit: "s",
        against: `1.5 × (cp ${copy.toFixed(2)} s + sha256sum ${hash.toFixed(2)} s)`,
        less: true,
      }));
      rows.push(memoryRow(`convert 400 MB of ${name}`, peak));
    }
    rows.push(memoryRow("convert 4 GB of safetensors", (await converted(at("large"), at("out"), 1)).peak));
    return [...rows, ...castRows(), ...quantisedRows()];
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function memoryRow(name: string, peak: number): Row {
  return row(`${name}: peak memory`, {
    ours: peak / 1e6,
    peer: 300,
    unit: "MB",
    against: "the limit",
    less: true,
  });
}

/** An Eagle-3 checkpoint, in a file with holes unless it is to be written out. */
async function writeDraft(
  folder: string,
  draft: Draft,
  options: { readonly as?: "safetensors" | "torch" } = {},
): Promise<void> {
  const { hidden, intermediate, vocab } = draft,
    heads = hidden / 128,
    shapes: Record<string, readonly number[]> = {
      "fc.weight": [hidden, 3 * hidden],
      "lm_head.weight": [vocab, hidden],
      "norm.weight": [hidden],
      "midlayer.hidden_norm.weight": [hidden],
      "midlayer.input_layernorm.weight": [hidden],
      "midlayer.post_attention_layernorm.weight": [hidden],
      "midlayer.self_attn.q_proj.weight": [hidden, 2 * hidden],
      "midlayer.self_attn.k_proj.weight": [1024, 2 * hidden],
      "midlayer.self_attn.v_proj.weight": [1024, 2 * hidden],
      "midlayer.self_attn.o_proj.weight": [hidden, hidden],
      "midlayer.mlp.gate_proj.weight": [intermediate, hidden],
      "midlayer.mlp.up_proj.weight": [intermediate, hidden],
      "midlayer.mlp.down_proj.weight": [hidden, intermediate],
    };
  await Deno.mkdir(folder, { recursive: true });
  const config = {
    hidden_size: hidden,
    intermediate_size: intermediate,
    num_attention_heads: heads,
    num_key_value_heads: 8,
    head_dim: 128,
    vocab_size: vocab,
    draft_vocab_size: vocab,
    architectures: ["LlamaForCausalLM"],
  };
  await Deno.writeTextFile(join(folder, "config.json"), JSON.stringify(config));
  const entries = Object.entries(shapes).map(([name, shape]) => {
    const spec = { shape, dtype: "bf16" } as const;
    return [name, { ...spec, bytes: byteLength(spec) }] as const;
  });
  const header = makeHeader(entries, { format: "pt" }), path = join(folder, "model.safetensors");
  {
    using file = await Deno.open(path, { write: true, create: true });
    await file.write(header);
    await file.truncate(entries.reduce((sum, [, { bytes }]) => sum + bytes, header.length));
  }
  if (!options.as) return;
  const tensors = new Map<string, HostTensor>();
  {
    using source = await openSafetensors(path);
    for (const name of source.names()) {
      const tensor = await source.read(name);
      tensor.bytes.forEach((_, i) => tensor.bytes[i] = i & 63);
      tensors.set(name, tensor);
    }
  }
  if (options.as === "safetensors") return await writeSafetensors(path, tensors);
  await writeTorch(join(folder, "pytorch_model.bin"), tensors);
  await Deno.remove(path);
}

async function timed(command: string, args: readonly string[]): Promise<number> {
  const start = performance.now();
  const { code } = await new Deno.Command(command, { args: [...args], stdout: "null", stderr: "null" })
    .output();
  if (code !== 0) throw new Error(`${command} ended with ${code}`);
  return (performance.now() - start) / 1000;
}

/** Median seconds of either. */
async function copyAndHash(file: string, target: string): Promise<{ copy: number; hash: number }> {
  const copies: number[] = [], hashes: number[] = [];
  for (let i = 0; i < 4; i++) {
    copies.push(await timed("cp", [file, target]));
    hashes.push(await timed("sha256sum", [file]));
    await Deno.remove(target);
  }
  return { copy: median(copies.slice(1)), hash: median(hashes.slice(1)) }; // the first fills caches
}

/** Median seconds of a conversion in a process of its own, and the most memory that one took. */
async function converted(
  source: string,
  output: string,
  runs = 3,
): Promise<{ seconds: number; peak: number }> {
  const found: number[] = [];
  let peak = 0;
  for (let i = 0; i < runs; i++) {
    const args = ["run", "-A", main, "convert", source, "--algorithm", "eagle3", "--verifier", source];
    const start = performance.now();
    await using process = new Deno.Command(Deno.execPath(), {
      args: [...args, "--output-path", output, "--quiet"],
      stdout: "null",
      stderr: "inherit",
    }).spawn();
    let running = true;
    const ended = process.status.then(({ code }) => {
      running = false;
      if (code !== 0) throw new Error(`convert ended with ${code}`);
    });
    while (running) {
      peak = Math.max(peak, highWater(process.pid));
      await Promise.race([ended, new Promise((go) => setTimeout(go, 20))]);
    }
    await ended;
    found.push((performance.now() - start) / 1000);
    await Deno.remove(output, { recursive: true });
  }
  return { seconds: median(found), peak };
}

/** The most memory that a process has had, where the system says it. */
function highWater(pid: number): number {
  try {
    return Number(/VmHWM:\s+(\d+) kB/.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

function castRows(): Row[] {
  const count = 1 << 20, bits = new Uint16Array(count);
  for (let i = 0; i < count; i++) bits[i] = (Math.imul(i, 2654435761) >>> 16) & 0xbbff;
  return (["bf16", "f16"] as const).map((dtype) => {
    const tensor: HostTensor = { shape: [count], dtype, bytes: new Uint8Array(bits.buffer) };
    const seconds: number[] = [], into = new ArrayBuffer(count * 4);
    for (let i = 0; i < 60; i++) {
      const start = performance.now();
      convert(tensor, "f32", { into });
      seconds.push((performance.now() - start) / 1000);
    }
    const rate = count * 4 / 1e9 / median(seconds.slice(10));
    return row(`${dtype} to f32, one core`, { ours: rate, peer: 2, unit: "GB/s", against: "the least" });
  });
}

function quantisedRows(): Row[] {
  const entries = 1 << 20;
  return ([["q8_0", 34 / 32], ["q4_0", 18 / 32], ["q6_k", 210 / 256]] as const).map(([type, bytes]) => {
    const blocks = Uint8Array.from({ length: entries * bytes }, (_, i) => Math.imul(i, 2654435761) >>> 20);
    const target = new Float32Array(entries), seconds: number[] = [];
    for (let i = 0; i < 40; i++) {
      const start = performance.now();
      dequantise(type, blocks, target);
      seconds.push((performance.now() - start) / 1000);
    }
    const rate = entries * 4 / 1e9 / median(seconds.slice(10));
    return row(`${type} to f32, one core`, { ours: rate, peer: 2, unit: "GB/s", against: "the least" });
  });
}
