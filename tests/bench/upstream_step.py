"""One training step of upstream's Eagle-3 draft for each line on stdin: prints {"seconds", "loss", "peak"} as JSON.

usage: python upstream_step.py SHAPE.json ATTENTION MASK

ATTENTION is `flex`, as upstream ships, or `sdpa`: the same with torch's scaled_dot_product_attention over a dense mask.
MASK is the text of the loss mask, a digit a row.
"""
import json, pathlib, resource, sys, tempfile, time

import torch
import torch.nn.attention.flex_attention
from safetensors.torch import save_file
from speculators.config import SpeculatorsConfig, VerifierConfig
from speculators.models.eagle3 import Eagle3DraftModel, Eagle3SpeculatorConfig
from speculators.proposals.greedy import GreedyTokenProposalConfig
from transformers import LlamaConfig
from transformers.modeling_utils import AttentionInterface

S, ATTENTION, MASK = json.loads(pathlib.Path(sys.argv[1]).read_text()), sys.argv[2], sys.argv[3]
DENSE = {}


def sdpa(module, query, key, value, attention_mask, scaling=None, **_):
    rows, keys = query.shape[2], key.shape[2]
    if keys not in DENSE:
        q, k = torch.arange(rows)[:, None], torch.arange(keys)[None, :]
        DENSE[keys] = attention_mask.mask_mod(torch.tensor(0), torch.tensor(0), q, k)
    out = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=DENSE[keys], scale=scaling, enable_gqa=True)
    return out.transpose(1, 2).contiguous(), None


def config(vocab, layers):
    c = LlamaConfig(vocab_size=vocab, hidden_size=S["hidden"], intermediate_size=S["intermediate"], num_hidden_layers=layers, num_attention_heads=S["heads"],
                    num_key_value_heads=S["kv_heads"], head_dim=S["head_dim"], max_position_embeddings=2048, pad_token_id=None, bos_token_id=None, eos_token_id=2)
    c.architectures = ["LlamaForCausalLM"]
    return c


def main():
    torch.manual_seed(0)
    # From 2.11 on torch refuses what it did until then: flex attention's backward on a CPU, by whole matrices.
    torch.nn.attention.flex_attention._validate_device = lambda *_: None
    if ATTENTION == "sdpa":
        AttentionInterface.register("simple_flex_attention", sdpa)
    with tempfile.TemporaryDirectory() as folder:
        config(S["vocab"], 8).save_pretrained(folder)
        save_file({"model.embed_tokens.weight": torch.randn(S["vocab"], S["hidden"]) * 0.5, "lm_head.weight": torch.randn(S["vocab"], S["hidden"]) * 0.05,
                   "model.norm.weight": torch.ones(S["hidden"])}, pathlib.Path(folder) / "model.safetensors")
        layer = config(S["vocab"], S["layers"])
        layer._attn_implementation = "simple_flex_attention"
        keep = torch.arange(S["draft_vocab"])
        t2d = torch.zeros(S["vocab"], dtype=torch.bool)
        t2d[keep] = True
        model = Eagle3DraftModel(t2d=t2d, d2t=keep - torch.arange(S["draft_vocab"]), config=Eagle3SpeculatorConfig(
            transformer_layer_config=layer, draft_vocab_size=S["draft_vocab"], norm_before_residual=True,
            speculators_config=SpeculatorsConfig(algorithm="eagle3", proposal_methods=[GreedyTokenProposalConfig(speculative_tokens=3)], default_proposal_method="greedy",
                                                 verifier=VerifierConfig(name_or_path=folder, architectures=["LlamaForCausalLM"]))))
    rows, mask = S["length"], torch.tensor([[int(x) for x in MASK]])
    x = dict(hidden_states=torch.randn(1, rows, 3 * S["hidden"]), input_ids=torch.randint(0, S["draft_vocab"], (1, rows)), lengths=torch.tensor([rows]),
             position_ids=torch.arange(1, rows + 1)[None], verifier_last_hidden_states=torch.randn(1, rows, S["hidden"]))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    print(json.dumps({"torch": torch.__version__, "threads": torch.get_num_threads()}), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        _, loss, _ = model(**x, loss_mask=mask.clone(), ttt_steps=S["ttt_steps"])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        seconds = time.perf_counter() - start
        # ru_maxrss of a child begins with its parent's: the kernel's own count of this address space does not.
        peak = next((int(l.split()[1]) * 1024 for l in open("/proc/self/status") if l.startswith("VmHWM")), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
        print(json.dumps({"seconds": seconds, "loss": loss.item(), "peak": peak}), flush=True)


main()
