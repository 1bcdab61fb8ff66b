import assert from "node:assert/strict";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { type Fields, fields } from "../../../tests/protobuf.ts";
import { Message } from "../../_shared/protobuf.ts";
import { FILE_HEADER, framed } from "./blocks.ts";
import plugin from "./mod.ts";

/** Records of a `.wandb` file: parts joined, checksums looked at. */
function records(file: Uint8Array): Fields[] {
  assert.deepEqual([...file.subarray(0, 7)], [0x3a, 0x57, 0x26, 0x42, 0xe1, 0xbe, 0]);
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength), found: Fields[] = [];
  let parts: number[] | null = null;
  for (let at = 7; at < file.length;) {
    const left = 32_768 - at % 32_768;
    if (left < 7) {
      assert.ok(file.subarray(at, at + left).every((byte) => byte === 0));
      at += left;
      continue;
    }
    const length = view.getUint16(at + 4, true), kind = view.getUint8(at + 6);
    assert.ok(7 + length <= left, "a part crosses the end of a block");
    const data = file.subarray(at + 7, at + 7 + length);
    assert.equal(view.getUint32(at, true), crc32(data, crc32(Uint8Array.of(kind))));
    assert.equal(parts === null, kind === 1 || kind === 2);
    (parts ??= []).push(...data);
    if (kind === 1 || kind === 4) {
      found.push(fields(Uint8Array.from(parts)));
      parts = null;
    }
    at += 7 + length;
  }
  assert.equal(parts, null);
  return found;
}

/** Logs some steps, and gives the offline run's folder and file to `body`. */
async function logSteps(
  body: (folder: string, file: string) => Promise<void>,
  steps: readonly (readonly [number, Record<string, number>])[],
): Promise<void> {
  const root = await Deno.makeTempDir();
  try {
    const settings = { lr: 1e-3, draft: { numLayers: 1 }, absent: undefined };
    const log = await plugin.open({ name: "try", folder: root, settings });
    for (const [step, values] of steps) await log.log(step, values);
    await log.close();
    const [run, ...more] = await Array.fromAsync(Deno.readDir(join(root, "wandb")));
    assert.deepEqual(more, []);
    const [, id] = /^offline-run-\d{8}_\d{6}-([a-z0-9]{8})$/.exec(run!.name)!;
    const folder = join(root, "wandb", run!.name);
    await body(folder, join(folder, `run-${id}.wandb`));
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

const items = (record: Fields, name: number): Record<string, string> =>
  Object.fromEntries(record.messages(1).map((item) => [item.text(name), item.text(16)]));

Deno.test("an offline run holds a header, the settings, a row a step, and its end", async () => {
  await logSteps(async (_, file) => {
    const found = records(await Deno.readFile(file));
    assert.deepEqual(found.map((record) => record.number(1)), found.map((_, i) => i + 1));
    assert.deepEqual(found.map((record) => record.present.at(-1)), [21, 17, 2, 3, 2, 3, 18]);
    const run = found[1]!.message(17);
    assert.deepEqual([run.text(3), run.text(6), run.text(8)], ["speculators", "try", "try"]);
    assert.match(file, new RegExp(`${run.text(1)}\\.wandb$`));
    assert.deepEqual(items(run.message(4), 1), { _wandb: "{}", lr: "0.001", draft: '{"numLayers":1}' });
    const { _timestamp, _runtime, ...row } = items(found[2]!.message(2), 2);
    // Numbers that were told of one step at two times are one row.
    assert.deepEqual(row, { a: "1", b: "0.5", _step: "3" });
    assert.ok(Math.abs(Number(_timestamp) - Date.now() / 1000) < 60 && Number(_runtime) < 60);
    assert.equal(found[4]!.message(2).message(2).number(1), 4);
    assert.equal(items(found[4]!.message(2), 2)["a"], "NaN");
  }, [[3, { a: 1 }], [3, { b: 0.5 }], [4, { a: NaN }]]);
});

Deno.test("records that begin or end near a block's end are cut and filled as LevelDB does", () => {
  const header = Uint8Array.from(FILE_HEADER), whole = new Message().bytes(1, "x".repeat(70_000));
  // A first record that ends so many bytes before a block's end: too few for the header of a part, just enough, more.
  for (let left = 0; left <= 16; left++) {
    const first = new Message().bytes(1, "y".repeat(32_768 - 7 - 7 - 4 - left));
    const file: number[] = [...header];
    for (const message of [first, new Message().varint(1, 5), whole]) {
      file.push(...framed(message.encode(), file.length));
    }
    const found = records(Uint8Array.from(file));
    assert.deepEqual(found.map((record) => record.present), [[1], [1], [1]]);
    assert.deepEqual([found[1]!.number(1), found[2]!.text(1).length], [5, 70_000]);
  }
});

/** Answers Weights & Biases' client as far as it asks while it uploads a run; gives what it sent. */
function standIn() {
  const sent = {
    runs: [] as Record<string, unknown>[],
    history: [] as string[],
    summaries: [] as string[],
    exit: [] as unknown[],
  };
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, async (request) => {
    const { pathname } = new URL(request.url);
    const text = await request.text();
    if (pathname === "/graphql") {
      const { query, variables } = JSON.parse(text);
      const operation = /(?:query|mutation)\s+(\w+)/.exec(query)?.[1];
      if (operation === "UpsertBucket") {
        sent.runs.push(variables);
        const project = { id: "p", name: variables.project, entity: { id: "e", name: "me" } };
        const bucket = {
          id: "x",
          name: variables.name,
          displayName: variables.displayName,
          project,
          config: "{}",
        };
        return Response.json({
          data: { upsertBucket: { bucket: { ...bucket, historyLineCount: 0 }, inserted: true } },
        });
      }
      if (operation === "CreateRunFiles") {
        const files = variables.files.map((name: string) => ({
          name,
          uploadUrl: new URL("/upload", request.url).href,
        }));
        return Response.json({ data: { createRunFiles: { runID: "x", uploadHeaders: [], files } } });
      }
      return Response.json({
        data: { viewer: { id: "v", entity: "me", username: "me", teams: { edges: [] } } },
      });
    }
    if (pathname.endsWith("/file_stream")) {
      const { files, exitcode } = JSON.parse(text);
      sent.history.push(...files?.["wandb-history.jsonl"]?.content ?? []);
      sent.summaries.push(...files?.["wandb-summary.json"]?.content ?? []);
      if (exitcode !== undefined) sent.exit.push(exitcode);
    }
    return Response.json({});
  });
  return { sent, server };
}

const PYTHON = Deno.env.get("WANDB_PYTHON");

Deno.test({
  name: "`wandb sync` uploads an offline run" +
    (PYTHON ? "" : " (WANDB_PYTHON names no Python that has wandb)"),
  ignore: PYTHON === undefined,
  async fn() {
    await logSteps(async (folder) => {
      const { sent, server } = standIn();
      await using _ = server;
      const home = join(folder, "..", "..", "home");
      await Deno.mkdir(home);
      const { code, stderr, stdout } = await new Deno.Command(PYTHON!, {
        args: ["-m", "wandb", "sync", folder],
        cwd: home, // it writes a log there
        env: {
          HOME: home,
          WANDB_BASE_URL: `http://127.0.0.1:${server.addr.port}`,
          WANDB_API_KEY: "0".repeat(40),
          WANDB_ERROR_REPORTING: "false",
        },
      }).output();
      const said = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
      assert.equal(code, 0, said);
      const [run] = sent.runs;
      assert.deepEqual([run!["displayName"], run!["groupName"], run!["project"]], [
        "try",
        "try",
        "speculators",
      ]);
      assert.deepEqual(JSON.parse(String(run!["config"]))["draft"], { value: { numLayers: 1 } });
      const rows = sent.history.map((line) => JSON.parse(line.replaceAll("NaN", "null")));
      assert.deepEqual(
        rows.map((row) => [row._step, row["train/loss_0"]]),
        [[0, 3], [1, null], [7, 2.5]],
        said,
      );
      assert.equal(JSON.parse(sent.summaries.at(-1)!)["train/loss_0"], 2.5);
      assert.deepEqual(sent.exit.at(-1), 0);
    }, [[0, { "train/loss_0": 3 }], [1, { "train/loss_0": NaN }], [7, { "train/loss_0": 2.5 }]]);
  },
});
