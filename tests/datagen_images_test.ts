/** Samples of conversations with images: the states of a pass with the images' patches, and what is left out. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { openSampleStore } from "../core/data/store.ts";
import { toFloat32 } from "../core/formats/dtype.ts";
import { openImages } from "../core/images/prompt.ts";
import { openVerifier } from "../core/verifier.ts";
import { createRuntime, datagen, finish } from "../mod.ts";
import { VERIFIER } from "./cli.ts";
import { golden } from "./golden.ts";
import { ASSISTANT, imageModels } from "./image_models.ts";

const IMAGE = golden("images", "small.png");

/** Lines of a data set: two that are good, text alone, and some that are not. */
async function writeChats(folder: string): Promise<string> {
  await Deno.copyFile(IMAGE, join(folder, "beside.png"));
  const data = `data:image/png;base64,${Buffer.from(await Deno.readFile(IMAGE)).toString("base64")}`;
  const chat = (content: unknown, answer = "abcde") => ({
    messages: [{ role: "user", content }, { role: "assistant", content: answer }],
  });
  const image = (url: string) => ({ type: "image_url", image_url: { url } });
  const lines = [
    chat([image("beside.png"), { type: "text", text: "what" }]),
    chat([{ type: "text", text: "two" }, image(data), { type: "image", image: IMAGE }], "fgh"),
    chat("only"),
    chat([image("missing.png")]),
    chat([image("https://example.com/a.png")]),
    chat([{ type: "image_url" }]),
  ];
  const path = join(folder, "chats.jsonl");
  await Deno.writeTextFile(path, lines.map((line) => JSON.stringify(line)).join("\n"));
  return path;
}

Deno.test("samples with images have the states of a pass with the images", async () => {
  const runtime = await createRuntime({ device: "wasm" }), { registry } = runtime;
  for await (const { folder, config } of imageModels()) {
    const outputDir = join(folder, "samples"), token = config["image_token_id"] as number;
    const options = {
      targetModelPath: folder,
      outputDir,
      trainDataPath: [await writeChats(folder)],
      assistantPattern: ASSISTANT,
      layerIds: [1, 6],
      dtype: "f32" as const,
      tokenFreqPath: join(folder, "token_freq.pt"),
      yes: true,
    };
    const { rejected, samples } = await finish(datagen(options, runtime));
    assert.deepEqual([samples, rejected], [3, {
      "an image cannot be read or placed": 2,
      "an image without a place": 1,
    }]);

    using verifier = await openVerifier(folder, { registry });
    const image = await (await openImages(verifier)).read(IMAGE), [t, h, w] = image.grid;
    using backend = await runtime.openBackend();
    using model = await verifier.load(backend);
    const store = await openSampleStore(outputDir), counts: number[] = [];
    for (const index of await store.list()) {
      const sample = await store.read(index), rows = sample.inputIds.filter((id) => id === token).length;
      const images = Array.from({ length: rows / (t * h * w / 4) }, () => image);
      counts.push(images.length);
      sample.inputIds.forEach((id, i) => assert.ok(id !== token || sample.lossMask[i] === 0));
      assert.ok(sample.lossMask.includes(1));
      using _scope = backend.scope();
      const { hidden } = model.forward({ tokens: sample.inputIds, images, capture: [1, 6], logits: "none" });
      const states = await backend.readAll(hidden) as Float32Array[];
      sample.hidden.forEach((found, layer) => {
        const wanted = states[layer]!, most = wanted.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
        const apart = toFloat32(found).reduce((m, x, i) => Math.max(m, Math.abs(x - wanted[i]!)), 0);
        assert.ok(apart <= 1e-5 * most, `${apart} of ${most}`);
      });
    }
    assert.deepEqual(counts.sort(), [0, 1, 2]);

    const short = { ...options, outputDir: join(folder, "short"), seqLength: 6 };
    const cut = await finish(datagen(short, runtime)).catch((error: Error) => error.message);
    assert.match(JSON.stringify(cut), /an image/);
  }
});

Deno.test("a verifier that reads text only leaves conversations with images out", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const options = {
      targetModelPath: VERIFIER,
      outputDir: join(folder, "samples"),
      trainDataPath: [await writeChats(folder)],
      tokenFreqPath: join(folder, "token_freq.pt"),
      yes: true,
    };
    const { rejected, samples } = await finish(datagen(options, await createRuntime({ device: "wasm" })));
    assert.equal(samples, 1);
    assert.deepEqual(rejected, { "content has images": 4, "an image without a place": 1 });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
