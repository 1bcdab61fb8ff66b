"""Greedy decoding with a speculator in vLLM 0.24 on a CPU: what is drafted and accepted, as one line of JSON.

usage: python vllm_drafts.py VERIFIER SPECULATOR PROMPTS.jsonl METHOD TOKENS_A_ROUND COUNT MOST_TOKENS
"""
import json, os, sys, types

os.environ.update(VLLM_CPU_KVCACHE_SPACE="1", VLLM_LOGGING_LEVEL="WARNING", VLLM_ENABLE_V1_MULTIPROCESSING="0", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")


def without_triton():
    """DFlash in vLLM 0.24 asks for a kernel of Triton, and multiplies by weights that its CPU layers pack away: both by torch."""
    import torch
    import vllm.model_executor.layers.utils as layers
    import vllm.v1.spec_decode.dflash as dflash
    pack = layers.dispatch_cpu_unquantized_gemm
    layers.dispatch_cpu_unquantized_gemm = lambda layer, remove_weight: pack(layer, False)
    dflash.triton = types.SimpleNamespace(next_power_of_2=lambda n: 1 << (n - 1).bit_length(), cdiv=lambda a, b: -(-a // b))

    def inputs(*, next_token_ids_ptr, target_positions_ptr, out_input_ids_ptr, out_context_positions_ptr, out_query_positions_ptr, out_context_slot_mapping_ptr,
               out_query_slot_mapping_ptr, out_token_indices_ptr, block_table_ptr, block_table_stride, query_start_loc_ptr, num_rejected_tokens_ptr,
               parallel_drafting_token_id, block_size, num_query_per_req, num_speculative_tokens, HAS_NUM_REJECTED=False, **_):
        for r in range(next_token_ids_ptr.shape[0]):
            first, end = int(query_start_loc_ptr[r]), int(query_start_loc_ptr[r + 1])
            last = end - (int(num_rejected_tokens_ptr[r]) if HAS_NUM_REJECTED else 0) - 1
            slot = lambda p: block_table_ptr[r].long()[(p // block_size).clamp(max=block_table_stride - 1)] * block_size + p % block_size
            context = target_positions_ptr[first:end].long(); query = int(target_positions_ptr[last]) + 1 + torch.arange(num_query_per_req)
            out_context_positions_ptr[first:end] = context; out_context_slot_mapping_ptr[first:end] = slot(context)
            at = r * num_query_per_req; rows = slice(at, at + num_query_per_req)
            out_query_positions_ptr[rows] = query; out_query_slot_mapping_ptr[rows] = slot(query)
            out_input_ids_ptr[rows] = parallel_drafting_token_id; out_input_ids_ptr[at] = next_token_ids_ptr[r]
            out_token_indices_ptr[r * num_speculative_tokens:(r + 1) * num_speculative_tokens] = at + 1 + torch.arange(num_speculative_tokens)

    dflash.copy_and_expand_dflash_inputs_kernel = type("Grid", (), {"__getitem__": lambda self, grid: inputs})()


def main():
    verifier, speculator, prompts, method, tokens, count, most = sys.argv[1:]
    from vllm import LLM, SamplingParams
    if method == "dflash": without_triton()
    chats = [[{"role": "user", "content": json.loads(line)["conversations"][0]["value"]}] for line in open(prompts)][: int(count)]
    llm = LLM(model=verifier, dtype="float32", max_model_len=512, enforce_eager=True, disable_log_stats=False, max_num_seqs=8, block_size=16,
              speculative_config={"model": speculator, "num_speculative_tokens": int(tokens), "method": method})
    outputs = [list(o.outputs[0].token_ids) for o in llm.chat(chats, SamplingParams(temperature=0, max_tokens=int(most)), use_tqdm=False)]
    found = {"outputs": outputs, "drafted": 0, "accepted": 0}
    for metric in llm.get_metrics():
        if metric.name == "vllm:spec_decode_num_draft_tokens": found["drafted"] += metric.value
        if metric.name == "vllm:spec_decode_num_accepted_tokens": found["accepted"] += metric.value
    print(json.dumps(found))


main()
