/** The project used from a URL: no import map, no checkout, an empty cache. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { golden, goldenJson } from "./golden.ts";
import { serveFolder } from "./serve_folder.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
Deno.test("imported by URL it maps a vocabulary, loads a plugin from another URL and decodes", async () => {
  const { cases } = goldenJson<{ cases: { name: string; error?: string; target_vocab_size: number }[] }>(
    "vocab",
    "cases.json",
  );
  const frequencies = cases.find((c) =>
    !c.error && c.target_vocab_size >= 64 && c.target_vocab_size <= 2048
  )!;
  const outside = await Deno.makeTempDir(), project = serveFolder(ROOT), stranger = serveFolder(ROOT);
  try {
    const script = `
      import { createRuntime, decode, finish, openSpeculator, openVerifier, vocabMap, writeSpeculatorConfig } from "${project.url}/mod.ts";
      const [verifierFolder, frequencies] = Deno.args;
      const runtime = await createRuntime({ device: "wasm", plugins: ["${stranger.url}/examples/ngram-plugin/mod.ts"] });
      const map = await finish(vocabMap({ tokenFreqPath: [frequencies], draftVocabSize: 32, targetVocabSize: 2048, outputPath: "vocab" }, runtime));
      using verifier = await openVerifier(verifierFolder, runtime);
      using backend = await runtime.openBackend();
      using model = await verifier.load(backend);
      const plugin = await runtime.registry.get("draft", "ngram");
      await Deno.mkdir("speculator");
      await writeSpeculatorConfig("speculator", (await plugin.load()).configure(verifier.info, {}));
      using speculator = await openSpeculator("speculator", { registry: runtime.registry, verifier, model });
      const write = async (draft) => {
        const tokens = [];
        for await (const round of decode(model, Int32Array.of(1, 391, 275, 201), { ops: runtime.ops, maxTokens: 24, eosTokenIds: [], ...draft })) tokens.push(...round.tokens);
        return tokens;
      };
      const plain = await write({}), drafted = await write({ draft: speculator.draft });
      console.log(JSON.stringify({ size: map.draftVocabSize, description: backend.description, plain, drafted }));
    `;
    await Deno.writeTextFile(join(outside, "main.js"), script);
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-A",
        "--no-config",
        "main.js",
        join(ROOT, "examples/assets/tiny-verifier"),
        golden("vocab", frequencies.name, "token_freq.pt"),
      ],
      cwd: outside,
      env: { DENO_DIR: join(outside, "cache"), NO_COLOR: "1" },
    }).output();
    const text = new TextDecoder();
    assert.equal(code, 0, text.decode(stderr));
    const found = JSON.parse(text.decode(stdout).trim().split("\n").at(-1)!);
    assert.equal(found.size, 32);
    const threads = navigator.hardwareConcurrency;
    assert.match(
      found.description,
      threads > 1 ? new RegExp(`${threads} of ${threads} threads`) : /1 thread/,
    );
    assert.equal(found.plain.length, 24);
    assert.deepEqual(found.drafted, found.plain);
    const d2t = await Deno.stat(join(outside, "vocab/d2t.npy"));
    assert.ok(d2t.size > 32 * 8);
  } finally {
    await Promise.all([project.stop(), stranger.stop()]);
    await Deno.remove(outside, { recursive: true });
  }
});
