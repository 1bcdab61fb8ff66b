/** `generate --image`: images in a prompt, through the chat template, with every vision-language verifier of the goldens. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openImages } from "../core/images/prompt.ts";
import { openVerifier } from "../core/verifier.ts";
import { argmax } from "../kernels/ops/mod.ts";
import { createRuntime, finish, generate } from "../mod.ts";
import { cli, VERIFIER } from "./cli.ts";
import { golden, goldenJson } from "./golden.ts";

type Json = Record<string, unknown>;

const LETTERS = "abcdefghijklmnopqrstuvwxyz";

const TEMPLATE =
  `{% for message in messages %}{% if message.content is string %}{{ message.content }}{% else %}` +
  `{% for part in message.content %}{% if part.type == 'image' %}<begin><image><end>{% else %}{{ part.text }}` +
  `{% endif %}{% endfor %}{% endif %}{% endfor %}`;

interface Model {
  readonly folder: string;
  readonly config: Json;
}

/** Folders of models whose config has an image token, each with a tokenizer and a template for it. */
async function* models(): AsyncGenerator<Model> {
  let found = 0;
  for (const kind of ["verifiers", "verifiers-more"]) {
    for (const name of Object.keys(goldenJson<{ cases: Json }>(kind, "manifest.json").cases)) {
      const config = goldenJson<Json>(kind, name, "config.json");
      if (config["image_token_id"] === undefined) continue;
      found++;
      const folder = await Deno.makeTempDir();
      try {
        for (const file of ["config.json", "model.safetensors"]) {
          await Deno.copyFile(golden(kind, name, file), join(folder, file));
        }
        const vision = config["vision_config"] as Json;
        const sizes = ["patch_size", "temporal_patch_size"].map((field) => [field, vision[field]]);
        await Deno.writeTextFile(
          join(folder, "preprocessor_config.json"),
          JSON.stringify({ ...Object.fromEntries(sizes), size: { shortest_edge: 64, longest_edge: 400 } }),
        );
        await Deno.writeTextFile(join(folder, "tokenizer.json"), JSON.stringify(tokenizer(config)));
        await Deno.writeTextFile(join(folder, "chat_template.jinja"), TEMPLATE);
        yield { folder, config };
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    }
  }
  assert.ok(found > 0);
}

function tokenizer(config: Json): Json {
  const special = [["<image>", "image_token_id"], ["<begin>", "vision_start_token_id"], [
    "<end>",
    "vision_end_token_id",
  ]];
  return {
    version: "1.0",
    added_tokens: special.map(([content, field]) => ({
      id: config[field!],
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
    model: { type: "BPE", vocab: Object.fromEntries([...LETTERS].map((c, i) => [c, i + 3])), merges: [] },
  };
}

const IMAGES = ["rgb.png", "jpeg.jpg"].map((file) => golden("images", file));

Deno.test("text is written about images as by hand: patches, expanded tokens, greedy choices", async () => {
  const runtime = await createRuntime({ device: "wasm" });
  for await (const { folder, config } of models()) {
    const options = { verifierNameOrPath: folder, prompt: "what", images: IMAGES, maxTokens: 6 };
    const { tokens } = await finish(generate(options, runtime));

    const { registry } = runtime;
    using verifier = await openVerifier(folder, { registry });
    const input = await openImages(verifier), images = [];
    for (const file of IMAGES) images.push(await input.read(file));
    const ids = ["vision_start_token_id", "image_token_id", "vision_end_token_id"].map((name) =>
      config[name] as number
    );
    const history = images.flatMap(({ grid: [t, h, w] }) => [
      ids[0]!,
      ...Array.from({ length: t * h * w / 4 }, () => ids[1]!),
      ids[2]!,
    ]);
    assert.ok(history.length > 3 * images.length);
    history.push(...[..."what"].map((c) => LETTERS.indexOf(c) + 3));
    using backend = await runtime.openBackend();
    using model = await verifier.load(backend);
    const expected: number[] = [];
    while (expected.length < tokens.length) {
      using _scope = backend.scope();
      const { logits } = model.forward({ tokens: Int32Array.from(history), images, logits: "last" });
      expected.push((await backend.read(argmax(backend.run, logits!)))[0]!);
      history.push(expected.at(-1)!);
    }
    assert.ok(tokens.length > 0);
    assert.deepEqual(tokens, expected);
  }
});

Deno.test("the command line takes images, and says what is wrong with them", async () => {
  for await (const { folder } of models()) {
    const run = (...more: string[]) =>
      cli(["generate", "-b", folder, "-p", "what", "--device", "wasm", "--max-tokens", "2", ...more]);
    const good = await run("--image", IMAGES[0]!, "--image", IMAGES[1]!, "--json");
    assert.equal(good.code, 0, good.err);
    assert.equal(JSON.parse(good.out.slice(good.out.indexOf("{"))).tokens.length, 2);
    const wrong: [string[], RegExp][] = [
      [["--image", join(folder, "config.json")], /expected a PNG or JPEG image, received bytes that begin/],
      [["--image", join(folder, "nothing.png")], /nothing\.png/],
      [["--image", IMAGES[0]!, "--raw"], /expected 1 image tokens \d+ in the prompt/],
    ];
    for (const [flags, message] of wrong) {
      const { code, err } = await run(...flags);
      assert.notEqual(code, 0);
      assert.match(err, message);
    }
  }
});

Deno.test("a verifier that reads text only refuses images", async () => {
  const { code, err } = await cli(["generate", "-b", VERIFIER, "-p", "what", "--image", IMAGES[0]!]);
  assert.notEqual(code, 0);
  assert.match(err, /expected a verifier that reads images/);
  assert.match(err, /Leave the images out/);
});
