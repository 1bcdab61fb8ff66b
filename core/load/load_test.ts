import assert from "node:assert/strict";
import { ConfigError } from "../errors.ts";
import { readEvents } from "./events.ts";
import { type LoadRunOptions, runLoad } from "./load.ts";
import { percentiles } from "./summary.ts";

/** A server that streams two pieces, or whatever `answer` gives; tells how many were at once. */
async function withServer(
  run: (
    server: { readonly endpoint: string; readonly most: () => number; readonly bodies: Json[] },
  ) => Promise<void>,
  answer?: (n: number) => Response | undefined,
): Promise<void> {
  let at = 0, most = 0, n = 0;
  const bodies: Json[] = [];
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, async (request) => {
    bodies.push(await request.json());
    most = Math.max(most, ++at);
    await new Promise((resolve) => setTimeout(resolve, 20));
    at--;
    return answer?.(n++) ?? stream([
      { choices: [{ delta: { role: "assistant", content: "" } }] },
      { choices: [{ delta: { content: "one " } }] },
      { choices: [{ delta: { content: "two" } }] },
      { choices: [], usage: { prompt_tokens: 3, completion_tokens: 5 } },
    ]);
  });
  try {
    await run({ endpoint: `http://127.0.0.1:${server.addr.port}`, most: () => most, bodies });
  } finally {
    await server.shutdown();
  }
}

type Json = Record<string, unknown>;

function stream(events: readonly unknown[], done = true): Response {
  const lines = [...events.map((event) => JSON.stringify(event)), ...(done ? ["[DONE]"] : [])];
  return new Response(lines.map((line) => `data: ${line}\n\n`).join(""));
}

function load(endpoint: string, more: Partial<LoadRunOptions>): LoadRunOptions {
  return {
    endpoint,
    api: "chat/completions",
    bodies: [{ model: "a" }, { model: "b" }],
    shape: { concurrency: 2 },
    maxRequests: 6,
    maxSeconds: 20,
    ...more,
  };
}

Deno.test("a closed load keeps as many requests under way as it has clients", () =>
  withServer(async ({ endpoint, most, bodies }) => {
    const { records, summary } = await runLoad(load(endpoint, {}));
    assert.equal(most(), 2);
    assert.deepEqual([summary.completed, summary.failed, summary.output_tokens, summary.prompt_tokens], [
      6,
      0,
      30,
      18,
    ]);
    assert.deepEqual(bodies.map(({ model }) => model).sort(), ["a", "a", "a", "b", "b", "b"]);
    assert.deepEqual([bodies[0]!.stream, bodies[0]!.stream_options], [true, { include_usage: true }]);
    for (const { text, start, first, last, end } of records) {
      assert.equal(text, "one two");
      assert.ok(start <= first! && first! <= last! && last! <= end);
    }
  }));

Deno.test("an open load begins requests at its rate, whether or not the server answers", () =>
  withServer(async ({ endpoint }) => {
    const shape = { rate: 100, arrivals: "constant" } as const;
    const { records } = await runLoad(load(endpoint, { shape }));
    assert.deepEqual(records.map(({ due }) => Math.round(due)).sort((a, b) => a - b), [
      0,
      10,
      20,
      30,
      40,
      50,
    ]);
    assert.ok(records.every(({ due, start }) => start >= due - 1));
    const drawn = await runLoad(load(endpoint, { shape: { rate: 100, seed: 1 } }));
    const dues = drawn.records.map(({ due }) => due).sort((a, b) => a - b);
    assert.equal(new Set(dues.map((due, i) => due - (dues[i - 1] ?? 0))).size, 6);
  }));

Deno.test("a load ends after its time, and stops what is under way after its grace", () =>
  withServer(async ({ endpoint }) => {
    const bounds = { maxRequests: 1e6, maxSeconds: 0.1 };
    const timed = await runLoad(load(endpoint, bounds));
    assert.ok(timed.summary.completed > 1 && timed.summary.completed < 50);
    assert.equal(timed.summary.cancelled, 0);
    const cut = await runLoad(load(endpoint, { ...bounds, maxSeconds: 0.01, graceSeconds: 0 }));
    assert.equal(cut.summary.cancelled, 2);
  }));

Deno.test("refusals, failures and answers that are cut off are told apart", () =>
  withServer(async ({ endpoint }) => {
    const { summary, records } = await runLoad(load(endpoint, { shape: { concurrency: 1 }, maxRequests: 5 }));
    assert.deepEqual([summary.completed, summary.refused, summary.failed], [1, 1, 3]);
    const by = [...records].sort((a, b) => a.index - b.index);
    assert.deepEqual(by.map(({ outcome }) => outcome), ["refused", "failed", "failed", "failed", "ok"]);
    assert.match(by[1]!.error!, /oops/);
    assert.equal(by[2]!.error, "too bad");
    assert.match(by[3]!.error!, /before its end/);
  }, (n) =>
    [
      new Response("full", { status: 429 }),
      new Response("oops", { status: 500 }),
      stream([{ error: { message: "too bad" } }]),
      stream([{ choices: [{ text: "x" }] }], false),
    ][n]));

Deno.test("a server that sends elsewhere is not followed", () =>
  withServer(async ({ endpoint, bodies }) => {
    const { summary } = await runLoad(load(endpoint, { maxRequests: 1 }));
    assert.equal(summary.failed, 1);
    assert.equal(bodies.length, 1);
  }, () => new Response(null, { status: 307, headers: { location: "http://127.0.0.1:9/elsewhere" } })));

Deno.test("bounds that are none are refused before anything is sent", async () => {
  for (
    const more of [{ bodies: [] }, { maxRequests: 0 }, { maxSeconds: NaN }, { shape: { concurrency: 0 } }]
  ) {
    await assert.rejects(runLoad(load("http://127.0.0.1:9", more)), ConfigError);
  }
});

Deno.test("events are read wherever the stream is cut", async () => {
  const bytes = new TextEncoder().encode(
    ": note\n\ndata: Äpfel\r\n\r\ndata: a\ndata: b\n\nevent: x\r\rdata: end\r\r",
  );
  for (const size of [1, 2, 3, 100]) {
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      start(controller) {
        for (let i = 0; i < bytes.length; i += size) controller.enqueue(bytes.slice(i, i + size));
        controller.enqueue(new TextEncoder().encode("\n"));
        controller.close();
      },
    });
    const found: string[] = [];
    for await (const data of readEvents(body)) found.push(data);
    assert.deepEqual(found, ["Äpfel", "a\nb", "end"]);
  }
});

Deno.test("percentiles are values that occurred", () => {
  const values = Array.from({ length: 200 }, (_, i) => 200 - i);
  assert.deepEqual(percentiles(values), { mean: 100.5, p50: 100, p90: 180, p95: 190, p99: 198 });
  assert.equal(percentiles([]).p50, null);
  assert.equal(percentiles([7]).p99, 7);
});
