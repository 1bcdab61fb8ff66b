/** How a vLLM server is started to be measured, with a draft or without. */
import type { DraftServeOptions } from "../../../core/plugin.ts";

/**
 * The words of the `vllm serve` command.
 *
 * source: upstream v0.4.0.1 `eval-guidellm/scripts/vllm_serve.sh`
 */
export function draftCommand(options: DraftServeOptions): readonly string[] {
  const { model, draft, host, port, flags = [] } = options;
  const { maxModelLen, tensorParallelSize, gpuMemoryUtilization } = options;
  const set = (flag: string, value: unknown) => value === undefined ? [] : [flag, String(value)];
  const speculative = draft && {
    model: draft.model,
    num_speculative_tokens: draft.numSpecTokens,
    method: draft.method,
    ...(maxModelLen === undefined ? {} : { max_model_len: maxModelLen }),
  };
  return [
    ...["vllm", "serve", model, "--seed", "42", "--host", host, "--port", String(port)],
    ...set("--tensor-parallel-size", tensorParallelSize),
    ...set("--max-model-len", maxModelLen),
    ...set("--gpu-memory-utilization", gpuMemoryUtilization),
    ...(speculative ? ["--speculative-config", JSON.stringify(speculative)] : []),
    ...flags,
  ];
}
