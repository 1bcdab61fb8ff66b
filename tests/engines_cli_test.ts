import assert from "node:assert/strict";
import { resolve } from "node:path";
import { cli, inFolder, VERIFIER } from "./cli.ts";

const COMMAND = ["engines", "vllm-command"];

/** The value behind a flag. */
function after(words: readonly string[], flag: string): string {
  assert.equal(words.filter((word) => word === flag).length, 1);
  return words[words.indexOf(flag) + 1]!;
}

async function words(...args: string[]): Promise<string[]> {
  const { code, out, err } = await cli([...COMMAND, "--json", ...args]);
  assert.equal(code, 0, err);
  return JSON.parse(out).command;
}

Deno.test("engines lists what there is and what it gives", async () => {
  const { code, out } = await cli(["engines", "--json"]);
  assert.equal(code, 0);
  const { engines } = JSON.parse(out);
  assert.deepEqual(engines.map(({ name }: { name: string }) => name), ["local", "vllm"]);
  assert.ok(engines.every((one: Record<string, unknown>) => one.capture === true && one.generate === true));
  assert.match((await cli(["engines"])).out, /^vllm +hidden states, text +/m);
});

Deno.test("the command hands out the states that datagen asks for unless told otherwise", async () => {
  const found = await words(VERIFIER, "--shared-storage-path", "states");
  assert.deepEqual(found.slice(0, 3), ["vllm", "serve", VERIFIER]);
  assert.deepEqual(JSON.parse(after(found, "--speculative_config")), {
    method: "extract_hidden_states",
    num_speculative_tokens: 1,
    draft_model_config: { hf_config: { eagle_aux_hidden_state_layer_ids: [2, 4, 5, 8] } },
  });
  assert.deepEqual(JSON.parse(after(found, "--kv_transfer_config")), {
    kv_connector: "ExampleHiddenStatesConnector",
    kv_role: "kv_producer",
    kv_connector_extra_config: { shared_storage_path: resolve("states") },
  });
  const chosen = JSON.parse(after(await words(VERIFIER, "--layer-ids", "1", "3"), "--speculative_config"));
  assert.deepEqual(chosen.draft_model_config.hf_config.eagle_aux_hidden_state_layer_ids, [1, 3, 8]);
});

Deno.test("flags of the server are handed on", async () => {
  const found = await words(
    ...[
      VERIFIER,
      "--tensor-parallel-size",
      "4",
      "--pipeline-parallel-size",
      "2",
      "--data-parallel-size",
      "3",
    ],
    ...["--port", "8001", "--host", "0.0.0.0", "--max-model-len", "4096", "--gpu-memory-utilization", "0.9"],
    ...["--", "--enforce-eager", "--dtype", "float32"],
  );
  assert.equal(after(found, "--tensor-parallel-size"), "4");
  assert.equal(after(found, "--pipeline-parallel-size"), "2");
  assert.equal(after(found, "--data-parallel-size"), "3");
  assert.equal(after(found, "--port"), "8001");
  assert.equal(after(found, "--gpu-memory-utilization"), "0.9");
  assert.deepEqual(found.slice(-3), ["--enforce-eager", "--dtype", "float32"]);
});

Deno.test("the line that is printed is the command when a shell reads it", async () => {
  await inFolder(async (at) => {
    const folder = at("it's a folder; $HOME");
    const printed = await cli([...COMMAND, VERIFIER, "--shared-storage-path", folder]);
    assert.equal(printed.code, 0);
    assert.equal(printed.out.split("\n").length, 2);
    assert.match(
      printed.err,
      /datagen --engine vllm --endpoint http:\/\/127\.0\.0\.1:8000 --layer-ids 2 4 5 8/,
    );
    const shell = new Deno.Command("sh", { args: ["-c", `printf '%s\\n' ${printed.out}`] });
    const read = new TextDecoder().decode((await shell.output()).stdout).trimEnd().split("\n");
    assert.deepEqual(read, await words(VERIFIER, "--shared-storage-path", folder));
  });
});

Deno.test("ids that the model does not have, ids that come twice and models that are nowhere are refused", async () => {
  const wrong: readonly (readonly [readonly string[], RegExp])[] = [
    [
      [VERIFIER, "--layer-ids", "2", "99"],
      /Cannot use "--layer-ids": expected ids from 0 to 8, received 99/,
    ],
    [[VERIFIER, "--layer-ids", "2", "2"], /each once, received \[2, 2, 8\]/],
    [["no-such-model"], /Cannot find "no-such-model".*\n.*--layer-ids/],
  ];
  for (const [args, message] of wrong) {
    const { code, out, err } = await cli([...COMMAND, ...args]);
    assert.equal(code, 1);
    assert.equal(out, "");
    assert.match(err, message);
  }
  // Where the server is, the model may be under a name that is not known here.
  const elsewhere = await cli([...COMMAND, "no-such-model", "--layer-ids", "2", "9"]);
  assert.equal(elsewhere.code, 0);
  assert.match(elsewhere.err, /not on this machine/);
  assert.equal((await cli(COMMAND)).code, 2);
  assert.equal((await cli(["engines", "nothing"])).code, 2);
});
