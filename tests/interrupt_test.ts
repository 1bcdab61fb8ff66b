/** Ctrl-C: each command stops soon, leaves nothing half-written, and the same command finishes afterwards. */
import assert from "node:assert/strict";
import {
  cli,
  cliProcess,
  type CliResult,
  copyModel,
  DIALOGUES,
  filesIn,
  inFolder,
  runProcess,
  SPECULATOR,
  VERIFIER,
} from "./cli.ts";

const WASM = ["--device", "wasm"];

/** Windows ends a process that is sent a signal. */
const ignore = Deno.build.os === "windows";

/** When to press Ctrl-C: once an output has shown something, or a file is there. */
type Moment = { readonly stream: "stdout" | "stderr"; readonly seen: RegExp } | { readonly path: string };

/** Runs a command and presses Ctrl-C, or kills it. */
async function interrupt(
  args: readonly string[],
  moment: Moment,
  signal: "SIGINT" | "SIGKILL" = "SIGINT",
): Promise<CliResult & { readonly seconds: number }> {
  await using child = cliProcess(args).spawn();
  let pressed = NaN, ended = false;
  const press = () => {
    if (ended || !Number.isNaN(pressed)) return;
    pressed = performance.now();
    child.kill(signal);
  };
  const read = async (name: "stdout" | "stderr"): Promise<string> => {
    const decoder = new TextDecoder();
    let text = "";
    for await (const bytes of child[name]) {
      text += decoder.decode(bytes, { stream: true });
      if ("seen" in moment && moment.stream === name && moment.seen.test(text)) press();
    }
    return text;
  };
  const watch = async (): Promise<void> => {
    while ("path" in moment && !ended) {
      const there = await Deno.stat(moment.path).then(() => true, () => false);
      if (there) return press();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  const status = child.status.then((status) => (ended = true, status));
  const [out, err, { code }] = await Promise.all([read("stdout"), read("stderr"), status, watch()]);
  assert.ok(!Number.isNaN(pressed), `${args[0]} ended with ${code} before it could be stopped: ${err}`);
  return { code, out, err, seconds: (performance.now() - pressed) / 1000 };
}

/** What a stopped command must be: soon over, with the code of Ctrl-C and one line that says so. */
function checkStopped({ code, err, seconds }: Awaited<ReturnType<typeof interrupt>>, last: RegExp): void {
  assert.equal(code, 130, err);
  assert.match(err, last);
  assert.ok(!/error|at file:/.test(err), err);
  assert.ok(seconds < 5, `it took ${seconds} s`);
}

async function checkWhole(folder: string): Promise<string[]> {
  const files = await filesIn(folder);
  assert.deepEqual(files.filter((name) => /\.tmp$|\.partial/.test(name)), []);
  return files;
}

Deno.test({
  name: "datagen that is stopped keeps whole samples, and goes on with the others",
  ignore,
  fn: () =>
    inFolder(async (at) => {
      const args = [
        ...[
          "datagen",
          "--target-model-path",
          VERIFIER,
          "--train-data-path",
          DIALOGUES,
          "--output-dir",
          at("data"),
        ],
        ...["--token-freq-path", at("token_freq.pt"), "--batch-tokens", "1", ...WASM],
      ];
      const stopped = await interrupt(args, { stream: "stderr", seen: /datagen .*\/100 samples/ });
      checkStopped(stopped, /Stopped\. What was finished is kept/);
      const kept = (await checkWhole(at())).filter((name) => /data_\d+\.pt$/.test(name));
      assert.ok(kept.length > 0 && kept.length < 100, `${kept.length} samples`);
      const { code, out } = await cli([...args, "--json"]);
      const { samples, fresh } = JSON.parse(out);
      assert.deepEqual([code, samples, fresh], [0, 100, 100 - kept.length]);
      await checkWhole(at());
    }),
});

Deno.test({
  name: "datagen that is killed while it writes goes on as well",
  ignore,
  fn: () =>
    inFolder(async (at) => {
      const args = [
        ...[
          "datagen",
          "--target-model-path",
          VERIFIER,
          "--train-data-path",
          DIALOGUES,
          "--output-dir",
          at("data"),
        ],
        ...["--token-freq-path", at("token_freq.pt"), "--batch-tokens", "1", "--max-samples", "40", ...WASM],
      ];
      const killed = await interrupt(args, { path: at("data", "data_3.pt") }, "SIGKILL");
      assert.equal(killed.code, 137);
      const kept = (await filesIn(at())).filter((name) => /data_\d+\.pt$/.test(name));
      assert.ok(kept.length > 0 && kept.length < 40, `${kept.length} samples`);
      await Deno.writeTextFile(at("data", ".data_5.pt.0123abcd.tmp"), "half");
      const { code, out } = await cli([...args, "--json"]);
      const { samples, fresh } = JSON.parse(out);
      assert.deepEqual([code, samples, fresh], [0, 40, 40 - kept.length]);
      await checkWhole(at());
    }),
});

Deno.test({
  name: "training that is stopped keeps the last epoch, and goes on after it",
  ignore,
  fn: () =>
    inFolder(async (at) => {
      const made = await cli([
        ...[
          "datagen",
          "--target-model-path",
          VERIFIER,
          "--train-data-path",
          DIALOGUES,
          "--output-dir",
          at("data"),
        ],
        ...["--token-freq-path", at("token_freq.pt"), "--max-samples", "4", "--seq-length", "64", ...WASM],
      ]);
      assert.equal(made.code, 0, made.err);
      const args = [
        ...[
          "train",
          "--verifier-name-or-path",
          VERIFIER,
          "--data-path",
          at("data"),
          "--save-path",
          at("run"),
        ],
        ...[
          "--epochs",
          "16",
          "--total-seq-len",
          "128",
          "--logger",
          "jsonl",
          "--log-dir",
          at("logs"),
          ...WASM,
        ],
      ];
      checkStopped(await interrupt(args, { path: at("run", "0") }), /Stopped\. What was finished is kept/);
      const epochs = (await checkWhole(at("run"))).filter((name) => name.endsWith("config.json")).length;
      assert.ok(epochs > 0 && epochs < 16, `${epochs} epochs`);
      const again = await cli([...args, "--json"]);
      assert.equal(again.code, 0, again.err);
      assert.match(again.err, new RegExp(`goes on from .*, with epoch ${epochs + 1} of 16`));
      const { checkpoint, steps } = JSON.parse(again.out);
      assert.equal(checkpoint, at("run", "15"));
      const whole = await cli([...args.map((arg) => arg === at("run") ? at("whole") : arg), "--json"]);
      assert.equal(JSON.parse(whole.out).steps, steps);
      for (const name of ["model.safetensors", "config.json"]) {
        assert.deepEqual(
          await Deno.readFile(at("run", "15", name)),
          await Deno.readFile(at("whole", "15", name)),
        );
      }
      await checkWhole(at());
    }),
});

Deno.test({
  name: "evaluate stops within a prompt",
  ignore,
  async fn() {
    const args = ["evaluate", "-b", VERIFIER, "-s", SPECULATOR, "-d", DIALOGUES, ...WASM];
    checkStopped(await interrupt(args, { stream: "stderr", seen: /evaluate .*\/100 prompts/ }), /Stopped\n$/);
  },
});

Deno.test({
  name: "generate stops within its text, which ends with a newline",
  ignore,
  fn: () =>
    inFolder(async (at) => {
      // One that never ends by itself.
      const endless = await copyModel(
        VERIFIER,
        at("endless"),
        (config) => ({ ...config, eos_token_id: null }),
      );
      await Deno.remove(at("endless", "generation_config.json"));
      const args = ["generate", "-b", endless, "-p", "Good morrow", "--max-tokens", "100000", ...WASM];
      const stopped = await interrupt(args, { stream: "stdout", seen: /\w/ });
      checkStopped(stopped, /^Stopped\n$/);
      assert.ok(stopped.out.endsWith("\n"));
    }),
});

Deno.test("output that nobody reads to its end is no error", { ignore }, async () => {
  await using child = cliProcess(["--help"]).spawn();
  await child.stdout.cancel();
  const [{ code }, err] = await Promise.all([child.status, new Response(child.stderr).text()]);
  assert.deepEqual([code, err], [0, ""]);
  assert.equal((await runProcess(["plugins"])).code, 0);
});
