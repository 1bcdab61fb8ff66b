/** Answers written by a process that is killed again and again. */
import assert from "node:assert/strict";
import { PythonRandom } from "../core/data/random.ts";
import { chatStandIn } from "./chat_stand_in.ts";
import { cli, cliProcess, inFolder } from "./cli.ts";

const KILLS = 20, RECORDS = 240;

/** Answers of a run before the server grows slow: on a busy machine a run would be over before it is killed. */
const ANSWERS = 16;

interface Line {
  readonly id: string;
  readonly conversations: unknown;
}

async function linesOf(path: string): Promise<Line[]> {
  const text = await Deno.readTextFile(path).catch(() => "");
  return text.split("\n").slice(0, -1).map((line) => JSON.parse(line));
}

Deno.test("a run that is killed at random moments writes every conversation once, as one that is not", async () => {
  await inFolder(async (at) => {
    const records = Array.from({ length: RECORDS }, (_, i) => ({
      id: `c${i}`,
      conversations: ["A", "B"].map((text) => ({ from: "human", value: `${text} ${i}` })),
    }));
    await Deno.writeTextFile(at("in.jsonl"), records.map((one) => `${JSON.stringify(one)}\n`).join(""));
    let left = Infinity;
    await using server = await chatStandIn(() => ({ delayMs: left-- > 0 ? 3 : 1500 }));
    const args = (name: string) => [
      ...["regenerate", "--dataset", at("in.jsonl"), "--endpoint", server.endpoint, "--outfile", at(name)],
      ...["--concurrency", "3", "--resume", "--quiet"],
    ];
    assert.equal((await cli(args("whole.jsonl"))).code, 0);
    const random = new PythonRandom(11), seen: number[] = [];
    for (let kill = 0; kill < KILLS; kill++) {
      left = ANSWERS;
      const before = (await linesOf(at("out.jsonl"))).length, child = cliProcess(args("out.jsonl")).spawn();
      let ended = false;
      const output = child.output().then(() => ended = true);
      const wanted = before + random.below(7), wait = random.below(15);
      while (!ended && (await linesOf(at("out.jsonl"))).length < wanted) {
        await new Promise((done) => setTimeout(done, 2));
      }
      await new Promise((done) => setTimeout(done, wait));
      try {
        child.kill("SIGKILL");
      } catch { /* it came to its end */ }
      await output;
      const lines = await linesOf(at("out.jsonl"));
      assert.ok(lines.length >= before, "nothing that was written is lost");
      seen.push(lines.length);
    }
    assert.ok(seen.at(-1)! < RECORDS, `killed at ${seen.join(", ")}`);
    left = Infinity;
    assert.equal((await cli(args("out.jsonl"))).code, 0);
    const [killed, whole] = [await linesOf(at("out.jsonl")), await linesOf(at("whole.jsonl"))];
    assert.equal(killed.length, RECORDS);
    const byId = (lines: Line[]) => lines.sort((a, b) => a.id < b.id ? -1 : 1);
    assert.deepEqual(byId(killed), byId(whole));
  });
});
