import assert from "node:assert/strict";
import { testFolder } from "../formats/_test_folder.ts";
import { goldenModel } from "../../tests/golden_models.ts";
import { readPrompts } from "./prompts.ts";

Deno.test("a prompt is the first user turn, with the beginning of an answer", async () => {
  await using folder = await testFolder();
  const text = await goldenModel("tiny");
  const path = await folder.put(
    "a.jsonl",
    [
      {
        conversations: [{ from: "system", value: "s" }, { from: "human", value: "one" }, {
          from: "gpt",
          value: "x",
        }],
      },
      { conversations: [{ from: "gpt", value: "no user" }] },
      { messages: [{ role: "user", content: "two" }] },
      { messages: [{ role: "user", content: "three" }] },
    ].map((record) => JSON.stringify(record)).join("\n") + "\n{broken\n",
  );
  const prompts = await readPrompts([path], { text, limit: 2 });
  assert.deepEqual(
    prompts.map((ids) => text.decode(ids)),
    ["one", "two"].map((s) => `<|im_start|>user\n${s}<|im_end|>\n<|im_start|>assistant\n`),
  );
  assert.equal((await readPrompts([path, path], { text })).length, 6);
});
