/** Disks that are full or may not be written to: what is finished stays, and a run goes on when there is room. */
import assert from "node:assert/strict";
import { chatStandIn } from "./chat_stand_in.ts";
import { cli, DIALOGUES, filesIn, inFolder, VERIFIER } from "./cli.ts";
import { smallDisk } from "./small_disk.ts";

const MODEL = ["--target-model-path", VERIFIER, "--train-data-path", DIALOGUES, "--device", "wasm"];

/** Whether a disk can be had is known only by trying. */
async function canMount(): Promise<boolean> {
  let can = false;
  await inFolder(async (at) => {
    await using disk = await smallDisk(at(), "64k");
    can = disk !== null;
  });
  return can;
}

const mounts = await canMount(), untried = mounts ? "" : " (no file system may be mounted here)";

Deno.test({
  name: `a full disk costs no sample that is there, and the rest comes when there is room${untried}`,
  ignore: !mounts,
  fn: () =>
    inFolder(async (at) => {
      await Deno.mkdir(at("data"));
      await using disk = (await smallDisk(at("data"), "1m"))!;
      const run = (folder: string, ...more: string[]) =>
        cli([
          ...["datagen", ...MODEL, "--output-dir", at(folder), "--token-freq-path", at("token_freq.pt")],
          ...["--max-samples", "30", "--batch-tokens", "300", "--quiet", ...more],
        ]);
      const refused = await run("data");
      assert.match(refused.err, /expected room for about .* of samples, received .* of free space/);
      assert.match(refused.err, /--yes/);
      const full = await run("data", "--yes");
      assert.equal(full.code, 1);
      assert.match(full.err, /^error: Cannot write ".*data_\d+\.pt": expected .*, received No space left/);
      assert.match(full.err, /hint: Look at the free space/);
      const left = await filesIn(at("data"));
      assert.ok(left.includes("data_0.pt") && !left.includes("data_29.pt"), left.join(" "));
      assert.ok(left.every((name) => /^data_(\d+\.pt|config\.json)$/.test(name)), left.join(" "));
      await disk.grow("64m");
      const rest = await run("data", "--json");
      assert.equal(rest.code, 0, rest.err);
      const { fresh, samples } = JSON.parse(rest.out);
      assert.deepEqual([samples, fresh], [30, 30 - (left.length - 1)]);
      assert.equal((await run("whole")).code, 0);
      for (const name of await filesIn(at("whole"))) {
        if (name === "data_config.json") continue;
        assert.deepEqual(await Deno.readFile(at("data", name)), await Deno.readFile(at("whole", name)), name);
      }
    }),
});

Deno.test({
  name: `a full disk keeps the whole lines of regenerate, and the rest comes when there is room${untried}`,
  ignore: !mounts,
  fn: () =>
    inFolder(async (at) => {
      await Deno.mkdir(at("disk"));
      await using disk = (await smallDisk(at("disk"), "64k"))!;
      await using server = await chatStandIn();
      const lines = Array.from({ length: 40 }, (_, i) =>
        JSON.stringify({ prompt: `${i} ${"x".repeat(1500)}` }));
      await Deno.writeTextFile(at("in.jsonl"), lines.join("\n"));
      const out = at("disk", "out.jsonl");
      const run = () =>
        cli([
          ...["regenerate", "--dataset", at("in.jsonl"), "--endpoint", server.endpoint, "--outfile", out],
          ...["--resume", "--quiet", "--concurrency", "2"],
        ]);
      const full = await run();
      assert.equal(full.code, 1);
      assert.match(
        full.err,
        /^error: Cannot write ".*out\.jsonl": expected to add a line, received No space/,
      );
      const whole = (text: string): { id: string }[] =>
        text.trimEnd().split("\n").map((line) =>
          JSON.parse(line)
        );
      const before = await Deno.readTextFile(out);
      assert.ok(before.endsWith("\n") && whole(before).length < 40);
      await disk.grow("8m");
      assert.equal((await run()).code, 0);
      const after = await Deno.readTextFile(out);
      assert.ok(after.startsWith(before));
      assert.equal(new Set(whole(after).map(({ id }) => id)).size, 40);
    }),
});

Deno.test({
  name: `a folder that may not be written to is told before anything is computed${untried}`,
  ignore: !mounts,
  fn: () =>
    inFolder(async (at) => {
      await Deno.mkdir(at("fixed"));
      await using _disk = await smallDisk(at("fixed"), "1m", "ro");
      const told = async (args: string[], path: string) => {
        const { code, err, out } = await cli([...args, "--quiet"]);
        assert.deepEqual([code, out], [1, ""]);
        assert.match(
          err,
          new RegExp(`^error: Cannot write "${RegExp.escape(path)}[^"]*": expected .*, received Read-only`),
        );
        assert.match(err, /\nhint: /);
      };
      const datagen = (folder: string, frequencies: string) => [
        ...[
          "datagen",
          ...MODEL,
          "--output-dir",
          folder,
          "--token-freq-path",
          frequencies,
          "--max-samples",
          "2",
        ],
      ];
      await told(datagen(at("fixed"), at("token_freq.pt")), at("fixed"));
      await told(datagen(at("fixed", "new"), at("token_freq.pt")), at("fixed", "new"));
      await told(datagen(at("data"), at("fixed", "token_freq.pt")), at("fixed"));
      assert.deepEqual(await filesIn(at("data")), []);
      const author = ["-b", VERIFIER, "--device", "wasm", "--dataset", DIALOGUES];
      await told(["regenerate", ...author, "--outfile", at("fixed", "out.jsonl")], at("fixed", "out.jsonl"));
    }),
});
