/** How a vLLM server that hands out hidden states is started. */
import { ConfigError } from "../../../core/errors.ts";
import type { ServeOptions } from "../../../core/plugin.ts";

/**
 * The words of the `vllm serve` command. The server takes each prompt's states from its own cache, by way of a draft
 * method that drafts nothing, and leaves them as files in a folder.
 *
 * source: vLLM 0.24, `ExampleHiddenStatesConnector` and the method `extract_hidden_states`
 *
 * @throws {ConfigError} when layer ids are missing, negative or come twice
 */
export function vllmCommand(options: ServeOptions): readonly string[] {
  const { model, layerIds, folder, flags = [] } = options;
  const usable = layerIds.length > 0 && new Set(layerIds).size === layerIds.length &&
    layerIds.every((id) => Number.isSafeInteger(id) && id >= 0);
  if (!usable) {
    throw new ConfigError(
      "layerIds",
      `expected ids from 0 on, each once, received [${layerIds.join(", ")}]`,
      {
        hint: "Id i is what enters layer i, and n what leaves the last one",
      },
    );
  }
  const speculative = {
    method: "extract_hidden_states",
    num_speculative_tokens: 1,
    draft_model_config: { hf_config: { eagle_aux_hidden_state_layer_ids: layerIds } },
  };
  const transfer = {
    kv_connector: "ExampleHiddenStatesConnector",
    kv_role: "kv_producer",
    kv_connector_extra_config: { shared_storage_path: folder },
  };
  return [
    "vllm",
    "serve",
    model,
    "--speculative_config",
    JSON.stringify(speculative),
    "--kv_transfer_config",
    JSON.stringify(transfer),
    ...flags,
  ];
}
