/** The command `serve` as a process: what it says, how it is called, how it ends. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { cli, cliProcess, inFolder, SPECULATOR, VERIFIER } from "./cli.ts";
import { eventsOf, post } from "./serve.ts";

const NGRAM = fileURLToPath(new URL("../examples/ngram-plugin/mod.ts", import.meta.url));
const SERVE = ["serve", "-b", VERIFIER, "--port", "0", "--device", "wasm"];
/** A text that takes a second or so. */
const LONG = { prompt: "To be", max_tokens: 900, temperature: 0, ignore_eos: true, stream: true };

/** What a server as a process says. */
interface Said {
  readonly address: string;
  readonly model: string;
  readonly num_spec_tokens: number;
}

/** Runs a server as a process; gives what it wrote to standard error, and its exit code. */
async function withProcess(
  args: readonly string[],
  run: (said: Said, process: Deno.ChildProcess) => Promise<void>,
): Promise<{ readonly code: number; readonly err: string }> {
  const process = cliProcess([...SERVE, "--json", ...args], { env: { NO_COLOR: "1" } }).spawn();
  const err = new Response(process.stderr).text(), reader = process.stdout.getReader();
  try {
    let out = "";
    while (!out.includes("}\n")) {
      const { value, done } = await reader.read();
      if (done) throw new Error(await err);
      out += new TextDecoder().decode(value);
    }
    await run(JSON.parse(out), process);
  } catch (error) {
    try {
      process.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await Promise.all([process.status, err]); // or the next test would be blamed for what is left
    throw error;
  } finally {
    await reader.cancel();
  }
  return { code: (await process.status).code, err: await err };
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.test(`serve finishes what runs after ${signal}, and ends`, async () => {
    const { code, err } = await withProcess(["-s", SPECULATOR], async (said, process) => {
      assert.match(said.address, /^http:\/\/127\.0\.0\.1:\d+$/);
      assert.deepEqual([said.model, said.num_spec_tokens], ["tiny-verifier", 3]);
      const [begun, running] = (await post(said, "/v1/completions", LONG)).body!.tee();
      const reader = begun.getReader();
      await reader.read(); // from now on it does not only wait
      process.kill(signal);
      const [events] = await Promise.all([eventsOf(new Response(running)), reader.cancel()]);
      assert.equal(events.at(-1), "[DONE]");
      assert.equal(JSON.parse(events.at(-2)!).choices[0].finish_reason, "length");
    });
    assert.equal(code, 0, err);
    assert.match(err, /Finishing 1 request; Ctrl-C again ends at once\nStopped\n$/);
  });
}

Deno.test("serve ends at once when it is asked twice", async () => {
  const { code, err } = await withProcess([], async (said, process) => {
    assert.equal(said.num_spec_tokens, 0);
    const running = await post(said, "/v1/completions", { ...LONG, n: 8 });
    process.kill("SIGINT");
    const reader = running.body!.getReader();
    await reader.read();
    await new Promise((resolve) => setTimeout(resolve, 300));
    process.kill("SIGINT");
    await assert.rejects(async () => {
      while (!(await reader.read()).done);
    });
  });
  assert.equal(code, 130, err);
});

Deno.test("serve works with the draft of a plugin", () =>
  inFolder(async (at) => {
    const made = await cli([
      "plugins",
      "speculator",
      "ngram",
      "--plugin",
      NGRAM,
      "--verifier",
      VERIFIER,
      "--output-path",
      at("ngram"),
    ]);
    assert.equal(made.code, 0, made.err);
    const { code, err } = await withProcess(
      [
        "--plugin",
        NGRAM,
        "-s",
        at("ngram"),
        "--num-spec-tokens",
        "4",
        "--api-key",
        "secret",
        "--served-model-name",
        "mine",
      ],
      async (said, process) => {
        assert.deepEqual([said.model, said.num_spec_tokens], ["mine", 4]);
        const body = { model: "mine", prompt: "ha ha ha ha", max_tokens: 40, temperature: 0 };
        const denied = await post(said, "/v1/completions", body);
        assert.equal(denied.status, 401);
        await denied.body?.cancel();
        const answer = await (await post(said, "/v1/completions", body, { authorization: "Bearer secret" }))
          .json();
        const { accepted_prediction_tokens: accepted, rejected_prediction_tokens: rejected } =
          answer.usage.completion_tokens_details;
        assert.ok(accepted + rejected > 0, JSON.stringify(answer));
        process.kill("SIGINT");
      },
    );
    assert.equal(code, 0, err);
  }));

Deno.test("serve says what is wrong with its flags", async () => {
  for (
    const [args, expected] of [
      [["serve"], /expected --verifier-name-or-path <folder>, received none/],
      [[...SERVE, "--port", "70000"], /port from 0 to 65535/],
      [[...SERVE, "--api-key", ""], /key without blanks/],
      [[...SERVE, "--max-model-len", "4000"], /at most the model's 1024/],
      [["serve", "-b", "/nowhere"], /\/nowhere/],
    ] as const
  ) {
    const { code, err } = await cli(args);
    assert.ok(code === 1 || code === 2);
    assert.match(err, expected);
  }
  const taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  try {
    const { err } = await cli([...SERVE, "--port", String((taken.addr as Deno.NetAddr).port)]);
    assert.match(err, /expected an address that is free, received 127\.0\.0\.1:\d+.*\n.*--port/s);
  } finally {
    taken.close();
  }
});
