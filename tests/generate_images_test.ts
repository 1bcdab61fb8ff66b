/** `generate --image`: images in a prompt, through the chat template, with every vision-language verifier of the goldens. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openImages } from "../core/images/prompt.ts";
import { openVerifier } from "../core/verifier.ts";
import { argmax } from "../kernels/ops/mod.ts";
import { createRuntime, finish, generate } from "../mod.ts";
import { cli, VERIFIER } from "./cli.ts";
import { golden } from "./golden.ts";
import { imageModels, LETTERS } from "./image_models.ts";

const IMAGES = ["rgb.png", "jpeg.jpg"].map((file) => golden("images", file));

Deno.test("text is written about images as by hand: patches, expanded tokens, greedy choices", async () => {
  const runtime = await createRuntime({ device: "wasm" });
  for await (const { folder, config } of imageModels()) {
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
  for await (const { folder } of imageModels()) {
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
