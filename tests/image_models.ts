/** Small vision-language models whose folders have all that text and images need, for tests. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { golden, goldenJson } from "./golden.ts";

type Json = Record<string, unknown>;

/** What the tokenizers know, ids from 3 on. */
export const LETTERS: string = "abcdefghijklmnopqrstuvwxyz";

const TEMPLATE = `{% for message in messages %}{% if message.role == 'assistant' %}x{{ message.content }}z` +
  `{% elif message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}` +
  `{% if part.type == 'image' %}<begin><image><end>{% else %}{{ part.text }}{% endif %}{% endfor %}{% endif %}` +
  `{% endfor %}`;

/** The assistant's part of a conversation. */
export const ASSISTANT: string = "x([a-w]*z)";

/** A model for tests. */
export interface ImageModel {
  /** Its folder, which is removed afterwards. */
  readonly folder: string;
  /** Its `config.json`. */
  readonly config: Json;
}

/** Folders of models whose config has an image token, each with a tokenizer and a template for it. */
export async function* imageModels(): AsyncGenerator<ImageModel> {
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
