/** The server over a socket: its answers, whole and streamed, beside what decoding writes. */
import assert from "node:assert/strict";
import { createRuntime, finish, generate } from "../mod.ts";
import { SPECULATOR, VERIFIER } from "./cli.ts";
import { eventsOf, post, withServer } from "./serve.ts";

const PROMPT = "Good morrow, my lord.", MESSAGES = [{ role: "user", content: PROMPT }];
const GREEDY = { messages: MESSAGES, max_tokens: 24, temperature: 0 };

/** What is looked at of an answer. */
interface Answer {
  readonly id: string;
  readonly object: string;
  readonly model: string;
  readonly choices: readonly Choice[];
  readonly usage: Usage;
}

interface Choice {
  readonly index: number;
  readonly text: string;
  readonly message: { readonly role: string; readonly content: string };
  readonly finish_reason: string | null;
  readonly logprobs: {
    readonly content: readonly {
      readonly token: string;
      readonly bytes: readonly number[];
      readonly logprob: number;
      readonly top_logprobs: readonly { readonly token: string; readonly logprob: number }[];
    }[];
    readonly tokens: readonly string[];
    readonly token_logprobs: readonly number[];
    readonly text_offset: readonly number[];
  } | null;
}

interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly completion_tokens_details: {
    readonly accepted_prediction_tokens: number;
    readonly rejected_prediction_tokens: number;
  };
}

async function ask(server: { readonly address: string }, path: string, body: object): Promise<Answer> {
  const response = await post(server, path, body), answer = await response.json();
  assert.equal(response.status, 200, JSON.stringify(answer));
  return answer;
}

const chat = (server: { readonly address: string }, body: object) =>
  ask(server, "/v1/chat/completions", body);
const complete = (server: { readonly address: string }, body: object) => ask(server, "/v1/completions", body);

Deno.test("a chat's answer is what decoding writes, with and without a draft, and its tokens are counted", async () => {
  const runtime = await createRuntime({ device: "wasm" });
  const expected = await finish(
    generate(
      { verifierNameOrPath: VERIFIER, speculator: SPECULATOR, prompt: PROMPT, maxTokens: 24 },
      runtime,
    ),
  );
  await withServer(async (server) => {
    const { id, object, model, choices: [choice], usage } = await chat(server, GREEDY);
    assert.match(id, /^chatcmpl-/);
    assert.deepEqual([object, model], ["chat.completion", "tiny-verifier"]);
    assert.deepEqual(choice!.message, { role: "assistant", content: expected.text, refusal: null });
    assert.equal(choice!.finish_reason, expected.tokens.length < 24 ? "stop" : "length");
    assert.equal(usage.completion_tokens, expected.tokens.length);
    assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
    const { accepted_prediction_tokens: accepted, rejected_prediction_tokens: rejected } =
      usage.completion_tokens_details;
    assert.equal(accepted, expected.acceptance!.accepted);
    assert.equal(accepted + rejected, expected.acceptance!.drafted);
    assert.ok(accepted > 0);
    const plain = await chat(server, { ...GREEDY, num_spec_tokens: 0 });
    assert.equal(plain.choices[0]!.message.content, expected.text);
    assert.deepEqual(plain.usage.completion_tokens_details.rejected_prediction_tokens, 0);
  });
  await withServer(async (server) => {
    const { choices: [choice], usage } = await chat(server, GREEDY);
    assert.equal(choice!.message.content, expected.text);
    assert.equal(usage.completion_tokens_details.accepted_prediction_tokens, 0);
    assert.doesNotMatch(await (await fetch(`${server.address}/metrics`)).text(), /spec_decode\S* [1-9]/);
  }, { speculator: null });
});

Deno.test("a stream brings the same text in chunks of OpenAI's shape, the usage last where it is asked for", () =>
  withServer(async (server) => {
    const whole = await chat(server, GREEDY);
    for (const include_usage of [false, true]) {
      const events = await eventsOf(
        await post(server, "/v1/chat/completions", {
          ...GREEDY,
          stream: true,
          stream_options: { include_usage },
        }),
      );
      assert.equal(events.pop(), "[DONE]");
      const chunks = events.map((event) => JSON.parse(event)), last = include_usage ? chunks.pop() : null;
      if (last) assert.deepEqual([last.choices, last.usage], [[], whole.usage]);
      assert.equal(new Set(chunks.map(({ id }) => id)).size, 1);
      for (const chunk of chunks) {
        const expected = ["id", "object", "created", "model", "system_fingerprint", "choices"];
        assert.deepEqual(Object.keys(chunk), include_usage ? [...expected, "usage"] : expected);
        assert.equal(chunk.object, "chat.completion.chunk");
        assert.equal(chunk.usage ?? null, null);
        assert.deepEqual(Object.keys(chunk.choices[0]), ["index", "delta", "logprobs", "finish_reason"]);
      }
      assert.deepEqual(chunks[0].choices[0].delta, { role: "assistant", content: "", refusal: null });
      assert.deepEqual(chunks.at(-1).choices[0].delta, {});
      const reasons = chunks.map(({ choices }) => choices[0].finish_reason);
      assert.deepEqual(reasons, [...reasons.slice(1).map(() => null), whole.choices[0]!.finish_reason]);
      const text = chunks.map(({ choices }) => choices[0].delta.content ?? "").join("");
      assert.equal(text, whole.choices[0]!.message.content);
    }
  }));

Deno.test("a stop string ends a text wherever tokens begin and end, streamed or not", () =>
  withServer(async (server) => {
    const { choices: [choice] } = await chat(server, GREEDY), all = choice!.message.content;
    for (let length = 1; length <= 9; length += 2) {
      for (let at = 0; at + length <= all.length; at += 5) {
        const stop = all.slice(at, at + length), expected = all.slice(0, all.indexOf(stop));
        const body = { ...GREEDY, stop: ["\u{1F600}", stop] }, { choices: [cut] } = await chat(server, body);
        assert.deepEqual(
          [cut!.message.content, cut!.finish_reason],
          [expected, "stop"],
          JSON.stringify(stop),
        );
        if (at % 10 > 0) continue;
        const events = await eventsOf(await post(server, "/v1/chat/completions", { ...body, stream: true }));
        const pieces = events.slice(0, -1).map((event) => JSON.parse(event).choices[0].delta.content ?? "");
        assert.equal(pieces.join(""), expected);
      }
    }
    const almost = await chat(server, { ...GREEDY, stop: `${all.slice(-3)}\u{1F600}` });
    assert.equal(almost.choices[0]!.message.content, all);
  }));

Deno.test("tokens are told with how likely they were", () =>
  withServer(async (server) => {
    const { choices: [choice], usage } = await chat(server, { ...GREEDY, logprobs: true, top_logprobs: 2 });
    const { content } = choice!.logprobs!;
    assert.equal(content.length, usage.completion_tokens);
    for (const { token, bytes, logprob, top_logprobs: [best, second] } of content) {
      assert.deepEqual([token, logprob], [best!.token, best!.logprob]);
      assert.ok(logprob <= 0 && second!.logprob <= logprob);
      assert.equal(new TextDecoder().decode(Uint8Array.from(bytes)), token);
    }
    assert.equal(
      content.map(({ token }) => token).join("").replace("<|im_end|>", ""),
      choice!.message.content,
    );
    const events = await eventsOf(
      await post(server, "/v1/chat/completions", {
        ...GREEDY,
        logprobs: true,
        top_logprobs: 2,
        stream: true,
      }),
    );
    const streamed = events.slice(0, -1).flatMap((event) =>
      JSON.parse(event).choices[0].logprobs?.content ?? []
    );
    assert.deepEqual(streamed, content);
    const { choices } = await complete(server, {
      prompt: ["To be", "My lord"],
      max_tokens: 5,
      temperature: 0,
      logprobs: 1,
    });
    for (const { text, logprobs } of choices) {
      const { tokens, token_logprobs, text_offset } = logprobs!;
      assert.deepEqual([tokens.length, token_logprobs.length, text_offset.length], [5, 5, 5]);
      assert.ok(text_offset.every((at, i) => text.slice(at).startsWith(tokens[i]!)));
    }
  }));

Deno.test("a request gets the same text by the same seed, and several texts where it asks for them", () =>
  withServer(async (server) => {
    const body = { prompt: "To be", max_tokens: 12, temperature: 1.2, top_p: 0.95, n: 3, seed: 5 };
    const texts = (answer: Answer) => answer.choices.map(({ text }) => text);
    const first = texts(await complete(server, body));
    assert.deepEqual(texts(await complete(server, body)), first);
    assert.deepEqual(texts(await complete(server, { ...body, num_spec_tokens: 0 })), first);
    assert.notDeepEqual(texts(await complete(server, { ...body, seed: 6 })), first);
    assert.equal(new Set(first).size, 3);
    const events = await eventsOf(await post(server, "/v1/completions", { ...body, stream: true }));
    const streamed = ["", "", ""];
    for (const event of events.slice(0, -1)) {
      const [{ index, text }] = JSON.parse(event).choices;
      streamed[index] += text;
    }
    assert.deepEqual(streamed, first);
    const echoed = await complete(server, { ...body, echo: true, n: 1, prompt: "To be" });
    assert.equal(echoed.choices[0]!.text, `To be${first[0]}`);
  }));

Deno.test("a greedy text is bit for bit the same whatever its neighbours are", () =>
  withServer(async (server) => {
    const prompts = ["To be", "Good morrow", "The king", "A".repeat(90), "Who is there", "My lord, I"];
    const body = (prompt: string, i: number) => ({
      prompt,
      max_tokens: 10 + 4 * i,
      temperature: 0,
      logprobs: 3,
      ignore_eos: true,
      num_spec_tokens: i % 4,
    });
    const seen = ({ choices: [choice] }: Answer) => choice!;
    const alone: Choice[] = [];
    for (const [i, prompt] of prompts.entries()) alone.push(seen(await complete(server, body(prompt, i))));
    const noise = Array.from(
      { length: 6 },
      (_, i) =>
        complete(server, { prompt: `Noise ${i}`, max_tokens: 30, temperature: 1, seed: i, ignore_eos: true }),
    );
    const together = await Promise.all(
      prompts.map(async (prompt, i) => seen(await complete(server, body(prompt, i)))),
    );
    await Promise.all(noise);
    assert.deepEqual(together, alone); // the numbers in the logprobs too
  }, { maxSequences: 5 }));

Deno.test("models, tokens, health and figures are told", () =>
  withServer(async (server) => {
    const get = async (path: string) => await (await fetch(`${server.address}${path}`)).json();
    const { object, data: [model] } = await get("/v1/models");
    assert.deepEqual([object, model.id, model.object, model.max_model_len], [
      "list",
      "tiny-verifier",
      "model",
      1024,
    ]);
    assert.deepEqual(await get("/v1/models/tiny-verifier"), model);
    const tokens = await (await post(server, "/tokenize", { prompt: "Good morrow", return_token_strs: true }))
      .json();
    assert.equal(tokens.token_strs.join(""), "Good morrow");
    assert.deepEqual([tokens.count, tokens.max_model_len], [tokens.tokens.length, 1024]);
    const back = await (await post(server, "/detokenize", { tokens: tokens.tokens })).json();
    assert.deepEqual(back, { prompt: "Good morrow" });
    const turns = await (await post(server, "/tokenize", { messages: MESSAGES })).json();
    const { usage } = await chat(server, GREEDY);
    assert.equal(turns.count, usage.prompt_tokens);
    const health = await fetch(`${server.address}/health`, { method: "HEAD" });
    assert.equal(health.status, 200);
    const page = await (await fetch(`${server.address}/metrics`)).text();
    const figure = (name: string) =>
      Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, "m").exec(page)?.[1]);
    const { accepted_prediction_tokens: accepted, rejected_prediction_tokens: rejected } =
      usage.completion_tokens_details;
    assert.equal(figure("vllm:spec_decode_num_accepted_tokens_total"), accepted);
    assert.equal(figure("vllm:spec_decode_num_draft_tokens_total"), accepted + rejected);
    assert.equal(figure("vllm:spec_decode_num_drafts_total") * 3, accepted + rejected);
    const positions = [...page.matchAll(/num_accepted_tokens_per_pos_total\{[^}]*position="(\d)"\} (\d+)/g)];
    assert.deepEqual(positions.map(([, position]) => position), ["0", "1", "2"]);
    assert.equal(positions.reduce((sum, [, , n]) => sum + Number(n), 0), accepted);
    assert.equal(figure("vllm:generation_tokens_total"), usage.completion_tokens);
    assert.equal(figure("vllm:time_to_first_token_seconds_count"), 1);
    assert.ok(
      figure("vllm:e2e_request_latency_seconds_sum") > figure("vllm:time_to_first_token_seconds_sum"),
    );
    assert.ok(figure("process_resident_memory_bytes") > 1e6);
  }));
