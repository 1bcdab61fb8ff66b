/** OpenAI's own clients against the server, unchanged. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { OpenAI } from "./_openai.ts";
import { withServer } from "./serve.ts";

const MESSAGES = [{ role: "user" as const, content: "Good morrow, my lord." }];

/** Python with the package `openai`. */
const PYTHON = Deno.env.get("OPENAI_PYTHON");

Deno.test("the npm client chats, streams, completes, and reads errors as its own classes", () =>
  withServer(async ({ address, model }) => {
    const client = new OpenAI({ baseURL: `${address}/v1`, apiKey: "secret", maxRetries: 0 });
    assert.deepEqual((await client.models.list()).data.map(({ id }) => id), [model]);
    assert.equal((await client.models.retrieve(model)).id, model);
    const request = { model, messages: MESSAGES, max_completion_tokens: 20, temperature: 0, seed: 1 };
    const whole = await client.chat.completions.create({ ...request, logprobs: true, top_logprobs: 2, n: 2 });
    const [first, second] = whole.choices;
    assert.equal(first!.message.content, second!.message.content);
    assert.equal(first!.logprobs!.content!.length * 2, whole.usage!.completion_tokens);
    assert.ok(whole.usage!.completion_tokens_details!.accepted_prediction_tokens! > 0);

    const stream = await client.chat.completions.create({
      ...request,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = "", tokens = 0;
    for await (const { choices, usage } of stream) {
      text += choices[0]?.delta.content ?? "";
      tokens += usage?.completion_tokens ?? 0;
    }
    assert.equal(text, first!.message.content);
    assert.equal(tokens * 2, whole.usage!.completion_tokens);
    // The helper puts a message together from chunks, and refuses those whose shape is not the API's.
    const final = await client.chat.completions.stream({ ...request, logprobs: true }).finalChatCompletion();
    assert.equal(final.choices[0]!.message.content, text);
    assert.equal(final.choices[0]!.finish_reason, first!.finish_reason);
    assert.equal(final.choices[0]!.logprobs!.content!.length, tokens);

    const completion = await client.completions.create({
      model,
      prompt: ["To be", "My lord"],
      max_tokens: 6,
      stop: "\n",
    });
    assert.deepEqual(completion.choices.map(({ index }) => index), [0, 1]);
    let streamed = 0;
    for await (const chunk of await client.completions.create({ model, prompt: "To be", stream: true })) {
      streamed += chunk.choices.length;
    }
    assert.ok(streamed > 1);

    await assert.rejects(
      client.chat.completions.create({ ...request, model: "other" }),
      (error) =>
        error instanceof OpenAI.NotFoundError && error.code === "model_not_found" && error.param === "model",
    );
    await assert.rejects(
      client.completions.create({ model, prompt: "a ".repeat(3000) }),
      (error) => error instanceof OpenAI.BadRequestError && error.code === "context_length_exceeded",
    );
    const wrong = new OpenAI({ baseURL: `${address}/v1`, apiKey: "wrong", maxRetries: 0 });
    await assert.rejects(wrong.models.list(), OpenAI.AuthenticationError);
  }, { apiKey: "secret" }));

Deno.test("the npm client reads a refusal for too many requests as one to be tried again", () =>
  withServer(async ({ address, model }) => {
    const client = new OpenAI({ baseURL: `${address}/v1`, apiKey: "none", maxRetries: 0 });
    const ask = () => client.completions.create({ model, prompt: "To be", max_tokens: 60, temperature: 0 });
    const found = await Promise.allSettled(Array.from({ length: 8 }, ask));
    const refused = found.filter((one) => one.status === "rejected").map(({ reason }) => reason);
    assert.ok(refused.length > 0 && refused.length < 8);
    for (const error of refused) {
      assert.ok(error instanceof OpenAI.RateLimitError);
      assert.equal(error.headers!.get("retry-after"), "1");
    }
    const patient = new OpenAI({ baseURL: `${address}/v1`, apiKey: "none", maxRetries: 5 });
    const all = await Promise.all(
      Array.from({ length: 4 }, () => patient.completions.create({ model, prompt: "To be", max_tokens: 4 })),
    );
    assert.ok(all.every(({ choices }) => choices.length === 1));
  }, { maxSequences: 1, maxQueue: 1 }));

Deno.test({
  name: `the Python client chats, streams and reads errors${
    PYTHON ? "" : " (OPENAI_PYTHON names no Python)"
  }`,
  ignore: !PYTHON,
  fn: () =>
    withServer(async ({ address, model }) => {
      const script = fileURLToPath(new URL("./python/openai_client.py", import.meta.url));
      const { code, stdout, stderr } = await new Deno.Command(PYTHON!, {
        args: [script, `${address}/v1`, "secret", model],
        stdout: "piped",
        stderr: "piped",
      }).output();
      assert.equal(code, 0, new TextDecoder().decode(stderr));
      const found = JSON.parse(new TextDecoder().decode(stdout));
      assert.equal(found.streamed, found.whole);
      assert.ok(found.whole.length > 0 && found.accepted > 0 && found.chunks > 2);
      assert.deepEqual(found.errors, ["NotFoundError", "BadRequestError", "AuthenticationError"]);
      assert.equal(found.logprobs, found.tokens);
      assert.deepEqual(found.models, [model]);
    }, { apiKey: "secret" }),
});
