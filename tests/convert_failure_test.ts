/** Conversions that go wrong halfway: damaged sources, a kill at any moment, a full disk. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { makeHeader } from "../core/formats/_safetensors_header.ts";
import { writeSafetensors } from "../core/formats/safetensors.ts";
import { writeTorch } from "../core/formats/torch.ts";
import { byteLength, type HostTensor } from "../mod.ts";
import { cli, cliProcess, inFolder } from "./cli.ts";
import { SIZES, writeEagle3, writeVerifierConfig } from "./research.ts";

type At = (...parts: string[]) => string;

const command = (at: At, ...more: string[]) => [
  "convert",
  at("source"),
  "--algorithm",
  "eagle3",
  "--verifier",
  at("verifier"),
  "--output-path",
  at("out"),
  "--device",
  "wasm",
  ...more,
];

/** Everything in a folder, dot files too, that is not what the test has put there. */
function leftIn(folder: string): string[] {
  const own = ["source", "verifier"];
  return [...Deno.readDirSync(folder)].map(({ name }) => name).filter((name) => !own.includes(name)).sort();
}

async function writeTorchSource(
  folder: string,
  name = "pytorch_model.bin",
): Promise<Map<string, HostTensor>> {
  const tensors = await writeEagle3(folder);
  await Deno.remove(join(folder, "model.safetensors"));
  await writeTorch(join(folder, name), tensors);
  return tensors;
}

/** Changes a file's bytes in place. */
async function damage(path: string, change: (bytes: Uint8Array) => Uint8Array): Promise<void> {
  await Deno.writeFile(path, change(await Deno.readFile(path)));
}

const DAMAGES: readonly {
  readonly what: string;
  readonly make: (at: At) => Promise<void>;
  readonly told: RegExp;
}[] = [
  {
    what: "a safetensors file that is cut off",
    async make(at) {
      await writeEagle3(at("source"));
      await damage(at("source", "model.safetensors"), (bytes) => bytes.subarray(0, bytes.length - 100));
    },
    told: /model\.safetensors": expected \d+ bytes of data behind the header, received \d+|data within/,
  },
  {
    what: "a safetensors header that lies about a size",
    async make(at) {
      await writeEagle3(at("source"));
      await damage(at("source", "model.safetensors"), (bytes) => {
        const text = new TextDecoder("latin1").decode(bytes).replace('"shape":[16,48]', '"shape":[17,48]');
        return Uint8Array.from(text, (char) => char.charCodeAt(0));
      });
    },
    told: /model\.safetensors": expected "fc\.weight\.data_offsets"/,
  },
  {
    what: "a torch file that is cut off",
    async make(at) {
      await writeTorchSource(at("source"));
      await damage(at("source", "pytorch_model.bin"), (bytes) => bytes.subarray(0, bytes.length / 2));
    },
    told: /pytorch_model\.bin": expected an archive's directory/,
  },
  {
    what: "a torch file with a wrong checksum",
    async make(at) {
      const tensors = await writeTorchSource(at("source")), wanted = tensors.get("fc.weight")!.bytes;
      await damage(at("source", "pytorch_model.bin"), (bytes) => {
        const start = bytes.findIndex((_, i) =>
          wanted.subarray(0, 64).every((byte, k) => bytes[i + k] === byte)
        );
        bytes[start + 8]! ^= 1;
        return bytes;
      });
    },
    told: /pytorch_model\.bin": expected the checksum [0-9a-f]{8} for ".*data\/\d+"/,
  },
  {
    what: "an index that names a shard that is missing",
    async make(at) {
      const tensors = await writeEagle3(at("source"));
      await Deno.remove(at("source", "model.safetensors"));
      const map = Object.fromEntries(
        [...tensors.keys()].map((name) => [name, name === "d2t" ? "b.safetensors" : "a.safetensors"]),
      );
      tensors.delete("d2t");
      await writeSafetensors(at("source", "a.safetensors"), tensors);
      await Deno.writeTextFile(
        at("source", "model.safetensors.index.json"),
        JSON.stringify({ weight_map: map }),
      );
    },
    told: /index\.json": expected the file "b\.safetensors" of the tensor "d2t"/,
  },
  {
    what: "a config that is not JSON",
    async make(at) {
      await writeEagle3(at("source"));
      await Deno.writeTextFile(at("source", "config.json"), '{"hidden_size": 16');
    },
    told: /config\.json": expected JSON/,
  },
  {
    what: "a config with a size that no model has",
    async make(at) {
      await writeEagle3(at("source"), { config: { hidden_size: 1e12 } });
    },
    told: /config\.json: hidden_size": expected a whole number/,
  },
  {
    what: "a config with heads of another kind",
    async make(at) {
      await writeEagle3(at("source"), { config: { num_attention_heads: "two" } });
    },
    told: /config\.json: num_attention_heads": expected a whole number from 1 to 4096, received "two"/,
  },
];

for (const { what, make, told } of DAMAGES) {
  Deno.test(`convert refuses ${what}, and leaves nothing behind`, () =>
    inFolder(async (at) => {
      await writeVerifierConfig(at("verifier"));
      await make(at);
      const { code, out, err } = await cli(command(at));
      assert.deepEqual([code, out], [1, ""], err);
      assert.match(err, told);
      assert.match(err, /\nhint: [A-Z][^\n]*[^.\n]\n$/);
      assert.deepEqual(leftIn(at()), []);
    }));
}

/** A checkpoint with a large head of zeros, which takes no room: the file has a hole. */
async function writeLarge(at: At, vocab: number): Promise<void> {
  await writeVerifierConfig(at("verifier"), { vocab_size: vocab });
  const tensors = await writeEagle3(at("source"), { config: { vocab_size: vocab, draft_vocab_size: vocab } });
  tensors.delete("d2t");
  tensors.delete("t2d");
  const specs = new Map<string, { shape: readonly number[]; dtype: HostTensor["dtype"] }>(tensors);
  specs.set("lm_head.weight", { shape: [vocab, SIZES.hidden], dtype: "bf16" });
  const entries = [...specs].map(([name, spec]) => [name, { ...spec, bytes: byteLength(spec) }] as const);
  const header = makeHeader(entries, undefined);
  const total = entries.reduce((sum, [, { bytes }]) => sum + bytes, header.length);
  using file = await Deno.open(at("source", "model.safetensors"), { write: true, truncate: true });
  await file.write(header);
  await file.truncate(total);
}

Deno.test("a conversion that is killed leaves no folder, and the next one finds nothing in its way", () =>
  inFolder(async (at) => {
    await writeLarge(at, 3_000_000);
    const args = command(at);
    await using running = cliProcess(args).spawn();
    const deadline = Date.now() + 30_000;
    // Killed while the weights are being written.
    while (!hasWeights(at(".out.partial")) && Date.now() < deadline) {
      await new Promise((go) => setTimeout(go, 5));
    }
    running.kill("SIGKILL");
    await running.output();
    assert.deepEqual(leftIn(at()), [".out.partial"]);
    const { code, err } = await cli(args);
    assert.equal(code, 0, err);
    assert.deepEqual(leftIn(at()), ["out"]);
  }));

Deno.test("a conversion that replaces a folder and is killed leaves the folder as it was", () =>
  inFolder(async (at) => {
    await writeLarge(at, 3_000_000);
    await Deno.mkdir(at("out"));
    await Deno.writeTextFile(at("out", "mine.txt"), "mine");
    await using running = cliProcess(command(at, "--overwrite")).spawn();
    const deadline = Date.now() + 30_000;
    while (!hasWeights(at(".out.partial")) && Date.now() < deadline) {
      await new Promise((go) => setTimeout(go, 5));
    }
    running.kill("SIGKILL");
    await running.output();
    assert.equal(await Deno.readTextFile(at("out", "mine.txt")), "mine");
    assert.deepEqual([...Deno.readDirSync(at("out"))].length, 1);
  }));

function hasWeights(folder: string): boolean {
  try {
    return [...Deno.readDirSync(folder)].some(({ name }) => name.startsWith(".model.safetensors"));
  } catch {
    return false;
  }
}

/** A file system of a few hundred kilobytes, or `null` where none may be mounted. */
async function smallDisk(folder: string): Promise<AsyncDisposable | null> {
  if (Deno.build.os !== "linux") return null;
  await Deno.mkdir(folder);
  const run = async (name: string, ...args: string[]) => {
    try {
      return (await new Deno.Command(name, { args, stdout: "null", stderr: "null" }).output()).success;
    } catch {
      return false;
    }
  };
  if (!await run("mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder)) return null;
  return { [Symbol.asyncDispose]: async () => void await run("umount", folder) };
}

Deno.test("a full disk is told, and nothing is left on it", () =>
  inFolder(async (at) => {
    await writeLarge(at, 50_000);
    await using disk = await smallDisk(at("disk"));
    if (disk === null) {
      // deno-lint-ignore no-console -- whoever runs the tests must see why.
      console.info("not tried: a small file system cannot be mounted here");
      return;
    }
    const args = command(at).map((arg) => arg === at("out") ? at("disk", "out") : arg);
    const { code, out, err } = await cli(args);
    assert.deepEqual([code, out], [1, ""], err);
    assert.match(err, /Cannot write ".*model\.safetensors": .*(No space left|os error 28)/);
    assert.match(err, /hint: .*free space/);
    assert.deepEqual([...Deno.readDirSync(at("disk"))], []);
  }));
