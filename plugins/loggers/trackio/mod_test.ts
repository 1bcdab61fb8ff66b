import assert from "node:assert/strict";
import type { Logger } from "../../../core/plugin.ts";
import plugin from "./mod.ts";
import { trackioServer } from "./settings.ts";

interface Call {
  readonly path: string;
  readonly token: string | null;
  readonly logs: Record<string, unknown>[];
}

/** A stand-in for a Trackio server: keeps what it is sent, unless `answer` says otherwise. */
async function withServer(
  body: (log: Logger, calls: Call[]) => Promise<void>,
  answer: (calls: number) => Response | null = () => null,
): Promise<void> {
  const calls: Call[] = [];
  let asked = 0;
  await using server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, async (request) => {
    const { kwargs } = await request.json(), refused = answer(++asked);
    if (refused) return refused;
    const path = new URL(request.url).pathname, token = request.headers.get("x-trackio-write-token");
    calls.push({ path, token, logs: kwargs.logs });
    return Response.json({ data: null });
  });
  const variables = {
    TRACKIO_SERVER_URL: `http://127.0.0.1:${server.addr.port}/under/?write_token=secret`,
    TRACKIO_PROJECT: "drafts",
  };
  await withEnvironment(variables, async () => {
    await body(await plugin.open({ name: "try", folder: "unused", settings: { lr: 0.1 } }), calls);
  });
}

async function withEnvironment(variables: Record<string, string>, body: () => Promise<void>): Promise<void> {
  const before = Object.keys(variables).map((name) => [name, Deno.env.get(name)] as const);
  for (const [name, value] of Object.entries(variables)) Deno.env.set(name, value);
  try {
    await body();
  } finally {
    for (const [name, value] of before) {
      value === undefined ? Deno.env.delete(name) : Deno.env.set(name, value);
    }
  }
}

Deno.test("steps go to the server's bulk_log with the token, the settings with the first of them", async () => {
  await withServer(async (log, calls) => {
    for (let step = 0; step < 3; step++) await log.log(step, { "train/loss_0": step === 1 ? NaN : step });
    await log.close();
    assert.deepEqual(
      new Set(calls.map(({ path, token }) => `${path} ${token}`)),
      new Set(["/under/api/bulk_log secret"]),
    );
    const logs = calls.flatMap((call) => call.logs);
    assert.deepEqual(logs.map(({ step, metrics, config }) => ({ step, metrics, config })), [
      { step: 0, metrics: { "train/loss_0": 0 }, config: { lr: 0.1 } },
      { step: 1, metrics: { "train/loss_0": "NaN" }, config: undefined },
      { step: 2, metrics: { "train/loss_0": 2 }, config: undefined },
    ]);
    assert.deepEqual([logs[0]!["project"], logs[0]!["run"]], ["drafts", "try"]);
    assert.equal(new Set(logs.map((entry) => entry["run_id"])).size, 1);
    assert.equal(new Set(logs.map((entry) => entry["log_id"])).size, 3);
  });
});

Deno.test("a refusal is told without the token, and what waits is sent when the run ends", async () => {
  await withServer(async (log, calls) => {
    await log.log(0, { a: 1 });
    await log.log(1, { a: 2 });
    await assert.rejects(async () => {
      for (let step = 2; step < 400; step++) {
        await log.log(step, { a: 3 });
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }, (error: Error) => /no such thing/.test(error.message) && !/secret/.test(error.message));
    assert.equal(calls.length, 0);
    await log.close();
    const steps = calls.flatMap((call) => call.logs).map((entry) => entry["step"]);
    assert.deepEqual(steps, steps.map((_, i) => i));
    assert.ok(steps.length >= 3);
  }, (asked) => asked === 1 ? Response.json({ error: "no such thing" }, { status: 400 }) : null);
});

Deno.test("a server that sends elsewhere gets nothing sent there", async () => {
  let elsewhere = 0;
  await using other = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, () => {
    elsewhere++;
    return Response.json({ data: null });
  });
  const location = `http://127.0.0.1:${other.addr.port}/api/bulk_log`;
  await withServer(async (log) => {
    await log.log(0, { a: 1 });
    await assert.rejects(log.close(), { code: "E_ENDPOINT" });
  }, () => new Response(null, { status: 307, headers: { location } }));
  assert.equal(elsewhere, 0);
});

Deno.test("an environment without a server or a token is refused with what to set", () => {
  const from = (variables: Record<string, string>) => () => trackioServer((name) => variables[name]);
  for (const url of ["", "ftp://secret", "not an address"]) {
    assert.throws(from({ TRACKIO_SERVER_URL: url }), {
      code: "E_CONFIG",
      message:
        /^Cannot use "TRACKIO_SERVER_URL": expected the address [^]*received (?:nothing|something else)$/,
    });
  }
  assert.throws(from({ TRACKIO_SERVER_URL: "http://127.0.0.1:7860" }), { message: /TRACKIO_WRITE_TOKEN/ });
  const variables = { TRACKIO_SERVER_URL: "http://localhost:7860/", TRACKIO_WRITE_TOKEN: "t" };
  assert.deepEqual(from(variables)(), { base: "http://localhost:7860", token: "t", project: "speculators" });
});

const PYTHON = Deno.env.get("TRACKIO_PYTHON");

Deno.test({
  name: "Trackio's own server takes a run" + (PYTHON ? "" : " (TRACKIO_PYTHON names no Python that has it)"),
  ignore: PYTHON === undefined,
  async fn() {
    const folder = await Deno.makeTempDir();
    const script = `
import json, sys, trackio
from trackio.sqlite_storage import SQLiteStorage
_, url, _, full = trackio.show(open_browser=False, block_thread=False, host="127.0.0.1")
print(json.dumps(url), flush=True)
sys.stdin.readline()
rows = [[row["step"], str(row["train/loss_0"]), str(row.get("val/loss_0"))] for row in SQLiteStorage.get_logs("drafts", "try")]
print(json.dumps({"rows": rows, "config": SQLiteStorage.get_run_config("drafts", "try")}), flush=True)
sys.stdin.readline()`;
    await using server = new Deno.Command(PYTHON!, {
      args: ["-c", script],
      env: { HOME: folder, TRACKIO_DIR: folder, TRACKIO_WRITE_TOKEN: "secret" },
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const writer = server.stdin.getWriter(), go = () => writer.write(new TextEncoder().encode("\n"));
    const output = server.stdout.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    const told = async (): Promise<unknown> => {
      for (;;) {
        const line = /^(?:(?!["{]).*\n)*(["{].*)\n/.exec(text);
        if (line) {
          text = text.slice(line[0].length);
          return JSON.parse(line[1]!);
        }
        const { value, done } = await output.read();
        assert.ok(!done, `the server ended: ${text}`);
        text += value;
      }
    };
    try {
      const url = String(await told());
      await withEnvironment({
        TRACKIO_SERVER_URL: url,
        TRACKIO_WRITE_TOKEN: "secret",
        TRACKIO_PROJECT: "drafts",
      }, async () => {
        const log = await plugin.open({ name: "try", folder: "unused", settings: { lr: 0.1 } });
        await log.log(3, { "train/loss_0": 1.5 });
        await log.log(9, { "train/loss_0": NaN, "val/loss_0": 0.5 });
        await log.close();
      });
      await go();
      const { rows, config } = await told() as { rows: unknown[]; config: Record<string, unknown> };
      assert.deepEqual(rows, [[3, "1.5", "None"], [9, "nan", "0.5"]]);
      assert.equal(config["lr"], 0.1);
    } finally {
      await writer.close();
      await output.cancel();
      await server.status;
      await Deno.remove(folder, { recursive: true });
    }
  },
});
