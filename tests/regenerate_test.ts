import assert from "node:assert/strict";
import { openRecords } from "../core/data/source.ts";
import { preprocessRecord } from "../core/data/preprocess.ts";
import { AbortedError, ConfigError, EndpointError, FormatError, NotFoundError } from "../core/errors.ts";
import { finish, type StageEvent } from "../core/events.ts";
import { regenerate, type RegenerateOptions, type RegenerateResult } from "../core/stages/regenerate.ts";
import type { Runtime } from "../core/runtime.ts";
import { chooseMaskRule, loadTextModel } from "../core/text/mod.ts";
import { createRuntime } from "../mod.ts";
import { type ChatAnswer, type ChatRequest, chatStandIn, toldBack } from "./chat_stand_in.ts";
import { cli, cliProcess, DIALOGUES, inFolder, SPECULATOR, VERIFIER } from "./cli.ts";

interface Line {
  readonly id: string;
  readonly conversations: readonly Readonly<Record<string, string>>[];
  readonly metadata: Readonly<Record<string, unknown>>;
}

const RECORDS: readonly Readonly<Record<string, unknown>>[] = [
  {
    id: "many",
    conversations: [
      { from: "system", value: "S" },
      { from: "human", value: "A" },
      { from: "gpt", value: "old" },
      { from: "human", value: "B" },
      { from: "gpt", value: "old" },
    ],
  },
  { uuid: 7, messages: [{ role: "user", content: "C" }], language: "EN" },
  { instruction: "D", output: "old", language: "DE" },
  { id: "many", prompt: "E", language: "EN" },
  {
    conversations: [{ from: "gpt", value: "old" }, { from: "human", value: "F" }, {
      from: "human",
      value: "G",
    }],
  },
  { text: "a document" },
];

/** Writes records to a file, runs the stage, reads the output back. */
async function run(
  at: (...parts: string[]) => string,
  options: RegenerateOptions,
  more: { readonly records?: readonly unknown[]; readonly signal?: AbortSignal } = {},
): Promise<{ result: RegenerateResult; lines: Line[]; events: StageEvent[] }> {
  const dataset = at("in.jsonl"), outfile = options.outfile ?? at("out.jsonl"), events: StageEvent[] = [];
  if (!options.dataset) {
    await Deno.writeTextFile(
      dataset,
      (more.records ?? RECORDS).map((one) => `${JSON.stringify(one)}\n`).join(""),
    );
  }
  const runtime = await createRuntime({ device: "wasm", ...(more.signal ? { signal: more.signal } : {}) });
  const result = await finish(
    regenerate({ dataset: [dataset], outfile, backoffMs: 2, ...options }, runtime),
    (event) => void events.push(event),
  );
  return { result, lines: await linesOf(outfile), events };
}

async function linesOf(path: string): Promise<Line[]> {
  const text = await Deno.readTextFile(path);
  assert.ok(text === "" || text.endsWith("\n"));
  return text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
}

function byId(lines: readonly Line[]): Map<string, Line> {
  assert.equal(new Set(lines.map(({ id }) => id)).size, lines.length);
  return new Map(lines.map((line) => [line.id, line]));
}

Deno.test("each answer follows the new ones before it, whatever the layout of the record", async () => {
  await inFolder(async (at) => {
    await using server = await chatStandIn();
    const { result, lines, events } = await run(at, { endpoint: server.endpoint });
    const found = byId(lines);
    assert.deepEqual([...found.keys()].sort(), ["7", "many", "many#2", "sample_2", "sample_4"]);
    assert.deepEqual(found.get("many")!.conversations, [
      { from: "system", value: "S" },
      { from: "human", value: "A" },
      { from: "gpt", value: "<s:S|u:A>" },
      { from: "human", value: "B" },
      { from: "gpt", value: "<s:S|u:A|a:<s:S|u:A>|u:B>" },
    ]);
    assert.deepEqual(found.get("sample_4")!.conversations, [
      { from: "human", value: "F" },
      { from: "human", value: "G" },
      { from: "gpt", value: "<u:F|u:G>" },
    ]);
    assert.deepEqual(found.get("many")!.metadata, {
      idx: 0,
      finish_reason: "stop",
      usage: { prompt_tokens: 20, completion_tokens: 6 },
      model: "org/the-model",
      endpoint: `${server.endpoint}/v1/chat/completions`,
    });
    assert.deepEqual(result.rejected, { "no conversation": 1 });
    assert.deepEqual([result.conversations, result.fresh, result.answers, result.tokens], [5, 5, 6, 18]);
    assert.ok(events.some((event) => event.type === "note" && /no conversation/.test(event.text)));
    const [request] = server.requests;
    assert.deepEqual([request!.model, request!.max_tokens, request!.temperature], [
      "org/the-model",
      8192,
      undefined,
    ]);
  });
});

Deno.test("flags of sampling, the model and the key are handed on", async () => {
  await inFolder(async (at) => {
    await using server = await chatStandIn();
    await run(at, {
      endpoint: `${server.endpoint}/v1/chat/completions`,
      model: "mine",
      apiKey: "secret",
      maxTokens: 5,
      temperature: 0.5,
      topP: 0.9,
      topK: 3,
      seed: 4,
      limit: 1,
    });
    const { messages: _, ...rest } = server.requests[0]!;
    assert.deepEqual(rest, { model: "mine", max_tokens: 5, temperature: 0.5, top_p: 0.9, top_k: 3, seed: 4 });
    assert.equal(server.headers.get("authorization"), "Bearer secret");
  });
});

Deno.test("an answer may be as long as the server has room for", async () => {
  await inFolder(async (at) => {
    // As vLLM does: more than there is room for is refused.
    await using server = await chatStandIn(({ max_tokens, model }) =>
      max_tokens !== undefined && max_tokens as number > (model === "small" ? 90 : 9000)
        ? { status: 400 }
        : {}
    );
    const { endpoint } = server;
    await run(at, { endpoint, model: "small", limit: 1, outfile: at("small.jsonl") });
    assert.deepEqual(server.requests.map(({ max_tokens }) => max_tokens), [undefined, undefined]);
    await run(at, { endpoint, maxTokens: 9500, limit: 1, outfile: at("close.jsonl") });
    assert.deepEqual(server.requests.slice(2).map(({ max_tokens }) => max_tokens), [
      9500,
      undefined,
      9500,
      undefined,
    ]);
  });
});

Deno.test("reasoning is kept with its answer, not told to later turns", async () => {
  for (const field of ["reasoning_content", "reasoning"]) {
    await inFolder(async (at) => {
      await using server = await chatStandIn((request) => ({
        message: { content: toldBack(request), [field]: `about ${request.messages.length}` },
      }));
      const { lines } = await run(at, { endpoint: server.endpoint, limit: 1 });
      const [first, second] = lines[0]!.conversations.filter(({ from }) => from === "gpt");
      assert.deepEqual([first!.thinking, first!.reasoning_content], ["about 2", "about 2"]);
      assert.equal(second!.thinking, "about 4");
      assert.ok(
        server.requests.every(({ messages }) =>
          messages.every((message) => Object.keys(message).length === 2)
        ),
      );
    });
  }
});

Deno.test("a language, a limit and the number of requests under way are kept to", async () => {
  await inFolder(async (at) => {
    await using server = await chatStandIn(() => ({ delayMs: 10 }));
    const english = await run(at, { endpoint: server.endpoint, languageFilter: "EN" });
    assert.deepEqual(english.lines.map(({ id }) => id).sort(), ["7", "many#2"]);
    const records = Array.from({ length: 30 }, (_, i) => ({ prompt: `${i}` }));
    const outfile = at("more.jsonl");
    const some = await run(at, { endpoint: server.endpoint, concurrency: 4, limit: 20, outfile }, {
      records,
    });
    assert.equal(some.lines.length, 20);
    assert.equal(server.most, 4);
  });
});

Deno.test("a server that fails now and then loses no conversation", async () => {
  const faults: readonly ChatAnswer[] = [{ status: 500 }, { dropped: true }, { body: '{"choi' }, {
    status: 429,
  }];
  await inFolder(async (at) => {
    await using server = await chatStandIn((_, n) => n % 2 === 0 ? faults[(n / 2) % faults.length]! : {});
    const records = Array.from({ length: 24 }, (_, i) => ({ id: `${i}`, prompt: `${i}` }));
    const { lines } = await run(at, { endpoint: server.endpoint, concurrency: 3, tries: 20 }, { records });
    const found = byId(lines);
    for (let i = 0; i < 24; i++) assert.equal(found.get(`${i}`)!.conversations[1]!.value, `<u:${i}>`);
  });
});

Deno.test("what a server refuses is counted; a conversation that grows too long ends with the answers it has", async () => {
  await inFolder(async (at) => {
    const answer = ({ messages }: ChatRequest): ChatAnswer =>
      messages.at(-1)!.content === "C" || messages.length > 3
        ? { status: 400 }
        : messages[0]!.content === "D"
        ? { message: { content: null, reasoning: "for ever" } }
        : {};
    await using server = await chatStandIn(answer);
    const { lines, result } = await run(at, { endpoint: server.endpoint });
    const found = byId(lines);
    assert.deepEqual([...found.keys()].sort(), ["many", "many#2", "sample_4"]);
    assert.equal(found.get("many")!.conversations.length, 3);
    assert.match(
      found.get("many")!.metadata.ended as string,
      /refused by the server \(400: This is the reason/,
    );
    assert.equal(result.rejected["the answer is empty"], 1);
    assert.equal(result.rejected["refused by the server (400: This is the reason)"], 1);
    // Lines of the input, in the order in which they were found to be of no use.
    const listed = (await Deno.readTextFile(at("out.rejected.jsonl"))).trimEnd().split("\n")
      .map((line): { path: string; line: number; reason: string } => JSON.parse(line));
    const reasons = new Map(listed.map(({ line, reason }) => [line, reason]));
    assert.deepEqual([...reasons.keys()].sort(), [2, 3, 6]);
    assert.match(reasons.get(2)!, /refused by the server/);
    assert.equal(reasons.get(3), "the answer is empty");
    assert.ok(listed.every(({ path }) => path === at("in.jsonl")));
    await using kind = await chatStandIn();
    const again = await run(at, { endpoint: kind.endpoint, resume: true });
    assert.equal(again.result.fresh, 2);
    assert.equal((await Deno.readTextFile(at("out.rejected.jsonl"))).split("\n").length, 2);
  });
});

Deno.test("when the server goes away, what is finished is kept, and a second run writes only the rest", async () => {
  await inFolder(async (at) => {
    const records = Array.from({ length: 12 }, (_, i) => ({ id: `${i}`, prompt: `${i}` }));
    {
      await using server = await chatStandIn((_, n) => n < 5 ? {} : { status: 503 });
      const options = { endpoint: server.endpoint, concurrency: 2, tries: 2 };
      await assert.rejects(run(at, options, { records }), EndpointError);
    }
    const before = await linesOf(at("out.jsonl"));
    assert.equal(before.length, 5);
    // Killed in the middle of a line.
    await Deno.writeTextFile(at("out.jsonl"), '{"id": "11", "conv', { append: true });
    await using server = await chatStandIn();
    await assert.rejects(
      run(at, { endpoint: server.endpoint }, { records }),
      (error) => error instanceof ConfigError && /--resume/.test(error.hint ?? ""),
    );
    const { lines, result } = await run(at, { endpoint: server.endpoint, resume: true }, { records });
    assert.deepEqual(lines.slice(0, 5), before);
    assert.equal(byId(lines).size, 12);
    assert.equal(server.requests.length, 7);
    assert.deepEqual([result.conversations, result.fresh], [12, 7]);
    const again = await run(at, { endpoint: server.endpoint, resume: true }, { records });
    assert.deepEqual([again.result.conversations, again.result.fresh, server.requests.length], [12, 0, 7]);
  });
});

Deno.test("a signal stops the requests under way and keeps what is finished", async () => {
  await inFolder(async (at) => {
    const records = Array.from({ length: 20 }, (_, i) => ({ id: `${i}`, prompt: `${i}` })),
      stop = new AbortController();
    await using server = await chatStandIn((_, n) => {
      if (n < 6) return {};
      stop.abort();
      return { delayMs: 50 };
    });
    const options = { endpoint: server.endpoint, concurrency: 2 };
    await assert.rejects(run(at, options, { records, signal: stop.signal }), AbortedError);
    const kept = (await linesOf(at("out.jsonl"))).length;
    assert.ok(kept >= 5 && kept <= 6);
  });
});

Deno.test("an output of another kind, one that is written to, and nothing to answer are refused", async () => {
  await inFolder(async (at) => {
    await using server = await chatStandIn();
    await Deno.writeTextFile(at("out.jsonl"), "hello\n");
    await assert.rejects(
      run(at, { endpoint: server.endpoint, resume: true }),
      (error) => error instanceof FormatError && /in line 1/.test(error.message),
    );
    using held = await Deno.open(at("held.jsonl"), { create: true, write: true });
    await held.lock(true);
    await assert.rejects(
      run(at, { endpoint: server.endpoint, outfile: at("held.jsonl") }),
      (error) => error instanceof ConfigError && /no other run/.test(error.message),
    );
    const empty = { endpoint: server.endpoint, outfile: at("empty.jsonl") };
    await assert.rejects(run(at, empty, { records: [{ text: "a document" }, 3] }), NotFoundError);
    await assert.rejects(Deno.stat(at("empty.jsonl")), Deno.errors.NotFound);
    await assert.rejects(run(at, { ...empty, verifierNameOrPath: VERIFIER }), ConfigError);
    await assert.rejects(run(at, { ...empty, speculator: SPECULATOR }), ConfigError);
    await assert.rejects(run(at, { ...empty, endpoint: `${server.endpoint}/v2` }), /status 404/);
  });
});

Deno.test("the verifier here, greedy, writes the answers that it is known to write, with a speculator and without", async () => {
  await inFolder(async (at) => {
    const known = await linesOf(DIALOGUES),
      options = { dataset: [DIALOGUES], verifierNameOrPath: VERIFIER, limit: 6 };
    const alone = await run(at, { ...options, maxTokens: 64, outfile: at("alone.jsonl") });
    const helped = await run(at, {
      ...options,
      maxTokens: 64,
      speculator: SPECULATOR,
      outfile: at("helped.jsonl"),
    });
    assert.equal(alone.lines.length, 6);
    const answered = byId(alone.lines);
    for (const { id, conversations } of known.slice(0, 6)) {
      const found = answered.get(id)!;
      assert.deepEqual(found.conversations, conversations);
      assert.deepEqual([found.metadata.endpoint, found.metadata.model], [undefined, VERIFIER]);
    }
    assert.deepEqual(byId(helped.lines), answered);
    assert.ok(helped.result.acceptance!.mean_accepted_length > 1);
    assert.equal(alone.result.acceptance, null);
  });
});

Deno.test("what is drawn for a conversation does not depend on where a run began", async () => {
  await inFolder(async (at) => {
    const options = {
      dataset: [DIALOGUES],
      verifierNameOrPath: VERIFIER,
      maxTokens: 12,
      temperature: 1,
      seed: 3,
    };
    const whole = await run(at, { ...options, limit: 4 });
    const outfile = at("parts.jsonl");
    await run(at, { ...options, limit: 2, outfile });
    const parts = await run(at, { ...options, limit: 4, outfile, resume: true });
    assert.deepEqual(byId(parts.lines), byId(whole.lines));
    assert.equal(parts.result.fresh, 2);
  });
});

Deno.test("the verifier here writes several answers together, as many as are asked for, and the same ones", async () => {
  await inFolder(async (at) => {
    const options = { dataset: [DIALOGUES], verifierNameOrPath: VERIFIER, maxTokens: 24, limit: 6 };
    const passes = async (concurrency: number) => {
      const rows: number[] = [], runtime = await createRuntime({ device: "wasm" });
      const counting: Runtime = {
        ...runtime,
        ops: {
          ...runtime.ops,
          argmax: (run, logits) => {
            rows.push(logits.shape[0]!);
            return runtime.ops.argmax(run, logits);
          },
        },
      };
      const outfile = at(`${concurrency}.jsonl`);
      await finish(regenerate({ ...options, concurrency, outfile }, counting), () => {});
      return { rows, lines: byId(await linesOf(outfile)) };
    };
    const [one, four] = [await passes(1), await passes(4)];
    assert.deepEqual(four.lines, one.lines);
    assert.deepEqual([Math.max(...one.rows), Math.max(...four.rows)], [1, 4]);
    assert.ok(four.rows.length < one.rows.length / 2, `${four.rows.length} of ${one.rows.length}`);
  });
});

Deno.test("a run that goes on with another model's answers says so", async () => {
  await inFolder(async (at) => {
    await using server = await chatStandIn((request) => ({ message: { content: toldBack(request) } }));
    const options = { endpoint: server.endpoint, limit: 1 };
    const warnings = (events: readonly StageEvent[]) =>
      events.flatMap((event) => event.type === "note" ? [event.text] : []).join();
    assert.equal(warnings((await run(at, { ...options, model: "first" })).events), "");
    const same = await run(at, { ...options, model: "first", limit: 2, resume: true });
    assert.equal(warnings(same.events), "");
    const other = await run(at, { ...options, model: "second", limit: 3, resume: true });
    assert.match(warnings(other.events), /has answers of first; what is missing is written by second/);
    assert.deepEqual(other.lines.map(({ metadata }) => metadata.model), ["first", "first", "second"]);
  });
});

Deno.test("datagen reads what is written", async () => {
  await inFolder(async (at) => {
    await using server = await chatStandIn((request) => ({
      message: { content: toldBack(request), reasoning: "because" },
    }));
    await run(at, { endpoint: server.endpoint });
    const model = await loadTextModel(VERIFIER), rule = chooseMaskRule(model, {});
    using source = await openRecords(at("out.jsonl"));
    assert.equal(source.count, 5);
    for (let i = 0; i < source.count; i++) {
      const found = await source.read(i);
      assert.ok("record" in found);
      const made = preprocessRecord(found.record, { model, rule, maxLength: 512 });
      assert.ok("sequence" in made && made.sequence.lossMask.some((one) => one === 1));
    }
  });
});

Deno.test("the command writes a file, and goes on with it after it was killed", async () => {
  await inFolder(async (at) => {
    const out = at("out.jsonl");
    const args = ["regenerate", "-b", VERIFIER, "--dataset", DIALOGUES, "--device", "wasm", "--outfile", out];
    const flags = ["--limit", "30", "--max-tokens", "24", "--resume", "--quiet"];
    const child = cliProcess([...args, ...flags]).spawn();
    while (((await Deno.stat(out).catch(() => null))?.size ?? 0) === 0) {
      await new Promise((r) => setTimeout(r, 10));
    }
    child.kill("SIGKILL");
    await child.output();
    const first = (await Deno.readTextFile(out)).split("\n").length - 1;
    assert.ok(first >= 1);
    const { code, out: text, err } = await cli([...args, ...flags, "--json"]);
    assert.equal(code, 0, err);
    const result: RegenerateResult = JSON.parse(text);
    assert.equal(result.conversations, 30);
    assert.ok(result.fresh <= 30 - first + 1);
    assert.deepEqual(
      (await linesOf(out)).map(({ metadata }) => Number(metadata.idx)).sort((a, b) => a - b),
      Array.from({ length: 30 }, (_, i) => i),
    );
    const refused = await cli([...args, "--limit", "1"]);
    assert.equal(refused.code, 1);
    assert.match(refused.err, /Cannot use "--outfile".*\n.*--resume/);
  });
});
