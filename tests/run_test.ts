import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { brokenFiles, closingLine, countResults } from "./_junit.ts";

const SAMPLE = `
Deno.test("a", async (t) => {
  await t.step("s1 <&>", () => {});
  await t.step("s2", () => { throw new Error("<skipped/> </testcase>"); });
});
Deno.test("b", async (t) => {
  await t.step("s", () => {});
  await t.step({ name: "left out", ignore: true, fn() {} });
  throw new Error("after its steps");
});
Deno.test("c", () => {});
Deno.test("c", () => {});
Deno.test({ name: "d", ignore: true, fn() {} });
`;

async function run(files: Record<string, string>): Promise<{ report: string; output: string }> {
  const folder = await Deno.makeTempDir();
  try {
    for (const [name, source] of Object.entries(files)) await Deno.writeTextFile(`${folder}/${name}`, source);
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["test", "--no-check", "--no-config", "--junit-path=report.xml", ...Object.keys(files)],
      cwd: folder,
    }).output();
    return {
      report: await Deno.readTextFile(`${folder}/report.xml`),
      output: new TextDecoder().decode(stdout),
    };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("results are counted from the report that deno writes, steps in place of their test", async () => {
  const { report, output } = await run({ "a_test.ts": SAMPLE });
  const counts = countResults(report);
  assert.deepEqual(counts, { passed: 4, failed: 2, skipped: 2 });
  assert.equal(closingLine(counts), "4 passed, 2 failed, 2 skipped");
  assert.deepEqual([...brokenFiles(output)], []);
});

Deno.test("a file that does not load is counted beside tests that ran", async () => {
  const { report, output } = await run({
    "a_test.ts": `Deno.test("a", () => {});`,
    "b_test.ts": `throw new Error("at the top");`,
  });
  assert.deepEqual(countResults(report), { passed: 1, failed: 0, skipped: 0 });
  assert.deepEqual([...brokenFiles(output)], ["b_test.ts"]);
});

Deno.test("an empty report has no results", () => {
  assert.deepEqual(countResults(""), { passed: 0, failed: 0, skipped: 0 });
});

Deno.test("a run without a test fails and says so in its last lines", async () => {
  const { code, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", fileURLToPath(new URL("run.ts", import.meta.url)), "no-file-has-this-in-its-path"],
  }).output();
  assert.equal(new TextDecoder().decode(stdout), "No test ran\n0 passed, 0 failed\n");
  assert.equal(code, 1);
});
