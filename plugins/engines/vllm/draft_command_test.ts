import assert from "node:assert/strict";
import { draftCommand } from "./draft_command.ts";

Deno.test("the command is upstream's, with the draft as JSON; without one nothing is said of it", () => {
  const common = { model: "org/base", host: "127.0.0.1", port: 8000 };
  const words = draftCommand({
    ...common,
    draft: { model: "org/draft", numSpecTokens: 3, method: "eagle3" },
    maxModelLen: 24_000,
    tensorParallelSize: 2,
    gpuMemoryUtilization: 0.85,
    flags: ["--enforce-eager"],
  });
  assert.deepEqual(words, [
    ...["vllm", "serve", "org/base", "--seed", "42", "--host", "127.0.0.1", "--port", "8000"],
    ...["--tensor-parallel-size", "2", "--max-model-len", "24000", "--gpu-memory-utilization", "0.85"],
    ...[
      "--speculative-config",
      '{"model":"org/draft","num_speculative_tokens":3,"method":"eagle3","max_model_len":24000}',
    ],
    "--enforce-eager",
  ]);
  assert.deepEqual(draftCommand(common), words.slice(0, 9));
});
