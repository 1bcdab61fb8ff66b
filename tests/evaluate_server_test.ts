/** `evaluate` on servers: the project's own, one that stands in for vLLM, and ones that fail. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readResults } from "../mod.ts";
import { cli, cliProcess, DIALOGUES, filesIn, inFolder, runProcess, SPECULATOR, VERIFIER } from "./cli.ts";
import { withServer } from "./serve.ts";

const FAKE = fileURLToPath(new URL("./fake_vllm.ts", import.meta.url));

function freePort(): number {
  using listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  return (listener.addr as Deno.NetAddr).port;
}

/** A folder with a program `vllm` that stands in, to be put into PATH. */
async function fakeProgram(folder: string): Promise<Record<string, string>> {
  const path = join(folder, "vllm");
  await Deno.writeTextFile(path, `#!/bin/sh\nexec "${Deno.execPath()}" run --no-check -A "${FAKE}" "$@"\n`);
  await Deno.chmod(path, 0o755);
  return { PATH: `${folder}:${Deno.env.get("PATH")}` };
}

/** Whether a process has ended, though nobody may have asked for its end yet. */
async function isGone(pid: string): Promise<boolean> {
  const state = await Deno.readTextFile(`/proc/${pid}/stat`).catch(() => null);
  return state === null || / Z /.test(state);
}

async function json(args: readonly string[]): Promise<Record<string, unknown>> {
  const { code, out, err } = await cli([...args, "--json", "--quiet"]);
  assert.equal(code, 0, err);
  return JSON.parse(out);
}

Deno.test("a server with the draft counts what decoding here counts", () =>
  withServer(async ({ address }) => {
    const same = ["-d", DIALOGUES, "--limit", "6", "--max-tokens", "24"];
    const served = await json([
      "evaluate",
      "--engine",
      "vllm",
      "--endpoint",
      address,
      ...same,
      "--concurrency",
      "3",
    ]);
    const here = await json(["evaluate", "-b", VERIFIER, "-s", SPECULATOR, ...same, "--device", "wasm"]);
    for (
      const name of [
        ...["rounds", "drafted", "accepted", "accepted_per_position", "acceptance_per_position"],
        ...["conditional_acceptance", "mean_accepted_length", "prompts", "prompt_tokens"],
      ]
    ) assert.deepEqual(served[name], here[name], name);
    const speed = served["tokens_per_second"] as { plain: null; speculative: number };
    assert.ok(speed.plain === null && speed.speculative > 0);
    assert.ok((served["time_to_first_token_ms"] as { speculative: { p50: number } }).speculative.p50 > 0);
  }));

Deno.test("loads of a sweep are measured one after the other, and written for upstream's plots", () =>
  inFolder(async (at) => {
    await withServer(async ({ address }) => {
      const { code, err } = await cli([
        ...["evaluate", "--engine", "vllm", "--endpoint", address, "-d", DIALOGUES, "--limit", "2"],
        ...["--max-tokens", "6", "--sweep-concurrency", "2,1", "--sweep-rate", "20", "--sweep-requests", "4"],
        ...["--load-generator", "own", "-o", at("out"), "--quiet"],
      ]);
      assert.equal(code, 0, err);
    });
    const { sweep } = await readResults(at("out"));
    assert.deepEqual(sweep.map(({ strategy, target, completed }) => [strategy, target, completed]), [
      ["concurrency", 1, 4],
      ["concurrency", 2, 4],
      ["constant", 20, 4],
    ]);
    assert.ok(
      sweep.every((point) => point.mean_accepted_length! > 1 && point.time_to_first_token_ms.p50! > 0),
    );
    const csv = (await Deno.readTextFile(at("out", "perf_results.csv"))).trimEnd().split("\n");
    assert.match(
      csv[0]!,
      /^subset,strategy,target_rate,rps_median,latency_median_s,itl_median_ms,ttft_median_ms,/,
    );
    assert.equal(csv.length, 4);
    assert.match(await Deno.readTextFile(at("out", "report.html")), /Under load/);
  }));

Deno.test("GuideLLM loads the server where PATH has it, once a load, and its figures are kept", () =>
  inFolder(async (at) => {
    await Deno.mkdir(at("bin"));
    const times = { mean: 2, percentiles: { p50: 1, p90: 3, p95: 4, p99: 5 } };
    const metrics = {
      request_totals: { successful: 4, errored: 1 },
      requests_per_second: { successful: { mean: 7 } },
      output_token_count: { successful: { total_sum: 36 } },
      output_tokens_per_second: { successful: { mean: 63 } },
      request_latency: { successful: times },
      time_to_first_token_ms: { successful: times },
      inter_token_latency_ms: { successful: times },
    };
    await Deno.writeTextFile(at("figures.json"), JSON.stringify({ benchmarks: [{ metrics }] }));
    await Deno.writeTextFile(
      at("bin", "guidellm"),
      `#!/bin/sh\necho "$@" >> "${at("asked")}"\nfor a in "$@"; do case "$a" in\n` +
        `kind=json_file,path=*) cp "\${a#kind=json_file,path=}" "${at("prompts")}";;\n` +
        `kind=json,path=*) cp "${at("figures.json")}" "\${a#kind=json,path=}";;\nesac; done\n`,
    );
    await Deno.chmod(at("bin", "guidellm"), 0o755);
    const PATH = `${at("bin")}:${Deno.env.get("PATH")}`;
    await withServer(async ({ address }) => {
      const args = [
        ...[
          "evaluate",
          "--engine",
          "vllm",
          "--endpoint",
          address,
          "-d",
          DIALOGUES,
          "--limit",
          "2",
          "--quiet",
        ],
        ...["--max-tokens", "6", "--sweep-concurrency", "2", "--sweep-rate", "0.5", "--sweep-requests", "3"],
      ];
      const found = await runProcess([...args, "-o", at("out")], { env: { PATH } });
      assert.equal(found.code, 0, found.err);
      const { sweep } = await readResults(at("out"));
      const { latency_ms, time_to_first_token_ms: first, ...point } = sweep[0]!;
      assert.deepEqual([point.completed, point.failed, point.output_tokens, point.requests_per_second], [
        4,
        1,
        36,
        7,
      ]);
      assert.deepEqual([latency_ms.p99, first.p99, first.mean], [5000, 5, 2]);
      const asked = (await Deno.readTextFile(at("asked"))).trimEnd().split("\n");
      assert.equal(asked.length, 2);
      assert.match(
        asked[0]!,
        /kind=openai_http,target=http:\S+:\d+,max_tokens=6,extras\.body\.temperature=0 /,
      );
      assert.match(asked[0]!, /kind=concurrent,streams=2 .*kind=max_requests,count=3/);
      assert.match(asked[1]!, /kind=constant,rate=0\.5 /);
      const prompts = (await Deno.readTextFile(at("prompts"))).trimEnd().split("\n").map((line) =>
        JSON.parse(line)
      );
      assert.deepEqual([prompts.length, prompts[2]], [3, prompts[0]]);

      await Deno.writeTextFile(at("figures.json"), "{}");
      const other = await runProcess(args, { env: { PATH } });
      assert.match(
        other.err,
        /expected the figures of a load, received another layout\nhint: .*--load-generator own/,
      );
      await Deno.writeTextFile(at("bin", "guidellm"), "#!/bin/sh\necho no such option >&2\nexit 2\n");
      const failed = await runProcess(args, { env: { PATH } });
      assert.match(failed.err, /received code 2: no such option/);
      const none = await runProcess([...args, "--load-generator", "guidellm"], { env: { PATH: at("out") } });
      assert.match(none.err, /Cannot find "guidellm": .*\nhint: Install it/);
    });
  }));

Deno.test("a server is launched with the draft and without, and nothing of it is left", () =>
  inFolder(async (at) => {
    await Deno.mkdir(at("bin"));
    const env = await fakeProgram(at("bin"));
    const { code, out, err } = await runProcess([
      ...["evaluate", "--engine", "vllm", "--launch", "--launch-plain", "-b", "org/base", "-s", "org/draft"],
      ...[
        "-d",
        DIALOGUES,
        "--limit",
        "3",
        "--port",
        String(freePort()),
        "-o",
        at("out"),
        "--num-spec-tokens",
        "2",
      ],
    ], { env });
    assert.equal(code, 0, err);
    assert.match(out, /^ +1 +50\.0% +50\.0%$/m);
    assert.match(out, /Identical: all 3 texts/);
    const run = await readResults(at("out"));
    // Three texts of four rounds; the one that warms up is not among them.
    assert.deepEqual([run.all.rounds, run.all.drafted, run.all.accepted], [12, 24, 12]);
    assert.ok(run.all.tokens_per_second.plain! > 0 && run.all.speed_up! > 0);
    assert.equal(run.all.output_tokens, 27);
    const logs = (await filesIn(at("out"))).filter((name) => name.endsWith(".log"));
    assert.deepEqual(logs, ["vllm_server.log", "vllm_server_plain.log"]);
    for (const name of logs) {
      const log = await Deno.readTextFile(at("out", name));
      assert.match(log, /serving org\/base/);
      const pid = /child (\d+)/.exec(log)![1]!;
      assert.ok(await isGone(pid));
    }
  }));

Deno.test("a server that ends, or is not ready in time, is told with its last words and its log", () =>
  inFolder(async (at) => {
    await Deno.mkdir(at("bin"));
    const env = await fakeProgram(at("bin"));
    const launched = async (...more: string[]) =>
      await runProcess([
        ...[
          "evaluate",
          "--engine",
          "vllm",
          "--launch",
          "-b",
          "B",
          "-s",
          "S",
          "-d",
          DIALOGUES,
          "--limit",
          "1",
        ],
        ...["--port", String(freePort()), "-o", at("out"), "--quiet", ...more],
      ], { env });
    const died = await launched("--server-flags", "--die");
    assert.equal(died.code, 1);
    assert.match(died.err, /ended before it was ready: serving B\nhint: Look into .*vllm_server\.log/);
    const slow = await launched("--server-flags", "--slow-start 60000", "--health-check-timeout", "1");
    assert.match(slow.err, /was not ready within 1 s/);
    const missing = await runProcess([
      ...["evaluate", "--engine", "vllm", "--launch", "-b", "B", "-s", "S", "-d", DIALOGUES, "-o", at("out")],
      ...["--port", String(freePort())],
    ], { env: { PATH: at("empty") } });
    assert.match(missing.err, /Cannot find "vllm": .*\nhint: Install it/);
  }));

Deno.test("a launched server is stopped when the evaluation is", () =>
  inFolder(async (at) => {
    await Deno.mkdir(at("bin"));
    const process = cliProcess([
      ...["evaluate", "--engine", "vllm", "--launch", "-b", "B", "-s", "S", "-d", DIALOGUES, "-o", at("out")],
      ...["--port", String(freePort()), "--server-flags", "--slow-start 60000"],
    ], { env: await fakeProgram(at("bin")) }).spawn();
    const ended = Promise.all([process.output(), process.status]);
    let pid: string | undefined;
    for (let i = 0; i < 200 && pid === undefined; i++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      const log = await Deno.readTextFile(at("out", "vllm_server.log")).catch(() => "");
      pid = /child (\d+)/.exec(log)?.[1];
    }
    process.kill("SIGINT");
    const [, { code }] = await ended;
    assert.equal(code, 130);
    assert.ok(await isGone(pid!));
  }));

/** Runs something with a server that answers as said. */
async function withAnswers(
  answers: Readonly<Record<string, (n: number) => Response>>,
  run: (endpoint: string) => Promise<void>,
): Promise<void> {
  const times = new Map<string, number>();
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, async (request) => {
    await request.text();
    const { pathname } = new URL(request.url), n = times.get(pathname) ?? 0;
    times.set(pathname, n + 1);
    return answers[pathname]?.(n) ?? new Response(null, { status: 404 });
  });
  try {
    await run(`http://127.0.0.1:${server.addr.port}`);
  } finally {
    await server.shutdown();
  }
}

Deno.test("servers that fail are told apart: no metrics, counters that fall, no answers, some answers, no draft", async () => {
  const models = () => Response.json({ data: [{ id: "m" }] });
  const answer = () => new Response('data: {"choices":[{"delta":{"content":"x"}}]}\n\ndata: [DONE]\n\n');
  const drafts = (n: number) => new Response(`vllm:spec_decode_num_drafts_total ${n}\n`);
  const cases: [Record<string, (n: number) => Response>, number, RegExp][] = [
    [{ "/v1/models": models, "/v1/chat/completions": answer }, 1, /expected metrics, received status 404/],
    [
      { "/v1/models": models, "/v1/chat/completions": answer, "/metrics": (n) => drafts(n < 2 ? 9 : 1) },
      1,
      /expected counters that grow, received smaller ones\nhint: The server was started anew/,
    ],
    [
      {
        "/v1/models": models,
        "/v1/chat/completions": () => new Response("out of memory", { status: 500 }),
        "/metrics": () => drafts(1),
      },
      1,
      /expected answers, received out of memory/,
    ],
    [
      {
        "/v1/models": models,
        "/v1/chat/completions": (n) => n === 2 ? new Response("busy", { status: 429 }) : answer(),
        "/metrics": () => drafts(1),
      },
      0,
      /1 of 3 requests of .* were not answered: busy/,
    ],
    [
      { "/v1/models": models, "/v1/chat/completions": answer, "/metrics": () => new Response("up 1\n") },
      0,
      /counts no draft's tokens/,
    ],
  ];
  for (const [answers, code, message] of cases) {
    await withAnswers(answers, async (endpoint) => {
      const args = ["evaluate", "--engine", "vllm", "--endpoint", endpoint, "-d", DIALOGUES, "--limit", "3"];
      const found = await cli([...args, "--quiet"]);
      assert.match(found.err, message);
      assert.equal(found.code, code, found.err);
    });
  }
});

Deno.test("a server's log is read, and flags that do not go together are refused", () =>
  inFolder(async (at) => {
    const line =
      "INFO SpecDecoding metrics: Mean acceptance length: 2.30, Accepted: 130 tokens, Drafted: 300 tokens, " +
      "Per-position acceptance rate: 0.800, 0.400, 0.100, Avg Draft acceptance rate: 43.3%\n";
    await Deno.writeTextFile(at("vllm.log"), `INFO started\n${line}${line}`);
    const found = await cli(["evaluate", "--from-log", at("vllm.log"), "-o", at("out"), "--quiet"]);
    assert.equal(found.code, 0, found.err);
    assert.match(found.out, /Acceptance of 600 proposed tokens in 200 rounds/);
    assert.match(found.out, /^ +3 +10\.0% +25\.0%$/m);
    assert.match(found.out, /mean accepted length +2\.300/);
    assert.equal((await readResults(at("out"))).all.accepted, 260);
    await Deno.writeTextFile(at("other.log"), "nothing\n");
    const cases: [string[], RegExp, number][] = [
      [["--from-log", at("other.log")], /expected lines of acceptance, received none/, 1],
      [
        ["--engine", "vllm", "-b", "B", "-s", "S", "-d", DIALOGUES],
        /expected --endpoint or --launch .* received neither/,
        2,
      ],
      [
        ["--engine", "vllm", "--endpoint", "http://x", "--launch", "-b", "B", "-s", "S", "-d", "D"],
        /received both/,
        2,
      ],
      [
        ["--endpoint", "http://127.0.0.1:9", "-d", DIALOGUES],
        /expected an engine whose servers count acceptance/,
        1,
      ],
      [["--sweep-rate", "1,x"], /expected numbers such as 1,2,4, received "1,x"/, 2],
      [["--endpoint", "http://127.0.0.1:9"], /expected --dataset <file\.\.\.>, received none/, 2],
    ];
    for (const [args, message, code] of cases) {
      const refused = await cli(["evaluate", ...args]);
      assert.match(refused.err, message);
      assert.equal(refused.code, code, refused.err);
    }
  }));
