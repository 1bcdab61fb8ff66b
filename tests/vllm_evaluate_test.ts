/** Evaluation through a real vLLM server on this machine: `VLLM_VENV` names the Python environment that has it. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { readResults } from "../mod.ts";
import { cli, DIALOGUES, inFolder, runProcess, SPECULATOR, VERIFIER } from "./cli.ts";

const venv = Deno.env.get("VLLM_VENV");
const there = venv ? await Deno.stat(join(venv, "bin", "python")).then(() => true, () => false) : false;
if (!there) {
  // deno-lint-ignore no-console -- whoever runs the tests must see why this one is not.
  console.log("The evaluation through a real vLLM server is ignored: VLLM_VENV names no environment with it");
}

/** A program `vllm` as it runs without a GPU: an environment put together of wheels by hand has none. */
function program(): string {
  return `#!/bin/sh
shift; model=$1; shift
preload=$(ls /usr/lib/*/libtcmalloc_minimal.so.4 2>/dev/null | head -1)
export LD_PRELOAD="$preload:${venv}/lib/libiomp5.so" VLLM_CPU_KVCACHE_SPACE=1 VLLM_CPU_OMP_THREADS_BIND=0-1
export VLLM_CPU_NUM_OF_RESERVED_CPU=0 HF_HUB_OFFLINE=1
exec "${venv}/bin/python" -m vllm.entrypoints.openai.api_server --model "$model" "$@"
`;
}

function freePort(): number {
  using listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  return (listener.addr as Deno.NetAddr).port;
}

Deno.test({
  name: "a real vLLM server counts what decoding here counts",
  ignore: !there,
  fn: () =>
    inFolder(async (at) => {
      await Deno.mkdir(at("bin"));
      await Deno.writeTextFile(at("bin", "vllm"), program());
      await Deno.chmod(at("bin", "vllm"), 0o755);
      const same = [
        ...[
          "evaluate",
          "-b",
          VERIFIER,
          "-s",
          SPECULATOR,
          "-d",
          DIALOGUES,
          "--limit",
          "8",
          "--num-spec-tokens",
          "3",
        ],
        "--quiet",
      ];
      const served = await runProcess([
        ...same,
        ...["--engine", "vllm", "--launch", "--max-model-len", "1024", "--port", String(freePort())],
        ...["--server-flags", "--dtype float32 --enforce-eager", "-o", at("served")],
      ], { env: { PATH: `${at("bin")}:${Deno.env.get("PATH")}` } });
      assert.equal(served.code, 0, served.err);
      const here = await cli([...same, "--device", "wasm", "-o", at("here")]);
      assert.equal(here.code, 0, here.err);
      const [{ all: theirs }, { all: ours }] = [
        await readResults(at("served")),
        await readResults(at("here")),
      ];
      for (
        const name of ["rounds", "drafted", "accepted", "accepted_per_position", "prompt_tokens"] as const
      ) {
        assert.deepEqual(theirs[name], ours[name], name);
      }
    }),
});
