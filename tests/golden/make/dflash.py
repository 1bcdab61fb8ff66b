"""Golden fixtures of upstream's DFlash draft model (speculators 0.7.0.1): logits, loss, metrics, gradients, proposals.

usage: python dflash.py --out DIR --seed N
"""
import argparse, json, pathlib, random

import torch
from safetensors.torch import save_file
from speculators.config import SpeculatorsConfig, VerifierConfig
from speculators.models.dflash import DFlashDraftModel, DFlashSpeculatorConfig, core
from speculators.models.metrics import resolve_loss_config
from speculators.proposals.greedy import GreedyTokenProposalConfig
from transformers import Qwen3Config

from eagle31 import draft_vocabulary, make_verifier, randomise, save_speculator

FULL, SLIDING = "full_attention", "sliding_attention"
CASES = [  # name, layer types, sliding window, both ways within it, block, sample from the anchor, draft vocabulary, anchors, gamma
    ("full-1", [FULL], None, False, 8, False, 40, 10, 4.0),
    ("full-2", [FULL, FULL], None, False, 8, False, None, 64, 4.0),
    ("sliding-causal", [SLIDING, FULL], 5, False, 6, False, 40, 12, 2.5),
    ("sliding-both-ways", [SLIDING, SLIDING], 4, True, 6, False, 40, 12, 4.0),
    ("from-anchor", [FULL], None, False, 4, True, 40, 12, 4.0),
]


def main():
    ap = argparse.ArgumentParser(); ap.add_argument("--out", required=True); ap.add_argument("--seed", type=int, required=True)
    a = ap.parse_args(); rng = random.Random(a.seed); root = pathlib.Path(a.out) / "dflash"
    hidden = rng.choice([32, 40]); vocab = rng.choice([80, 96]); layers = rng.choice([6, 8])
    index = {"seed": a.seed, "cases": {}}
    for n, (name, types, window, both, block, from_anchor, draft_vocab, anchors, gamma) in enumerate(CASES):
        gen = torch.Generator().manual_seed(a.seed * 1000 + n); torch.manual_seed(a.seed * 1000 + n)
        case = root / name; case.mkdir(parents=True, exist_ok=True)
        vcfg = make_verifier(case / "verifier", "qwen3", hidden, vocab, layers, gen)
        tl = Qwen3Config(vocab_size=vocab, hidden_size=hidden, intermediate_size=hidden + 16, num_hidden_layers=len(types), num_attention_heads=4, num_key_value_heads=2,
                         head_dim=hidden // 4, max_position_embeddings=256, rms_norm_eps=1e-5, layer_types=types, use_sliding_window=window is not None,
                         sliding_window=window, max_window_layers=0, pad_token_id=None)
        tl._attn_implementation = "eager"
        dv, t2d, d2t = draft_vocabulary(vocab, draft_vocab, gen)
        cfg = DFlashSpeculatorConfig(transformer_layer_config=tl, draft_vocab_size=dv, block_size=block, aux_hidden_state_layer_ids=[2, layers // 2, layers - 1],
            mask_token_id=vocab - 1, sliding_window_non_causal=both, sample_from_anchor=from_anchor,
            speculators_config=SpeculatorsConfig(algorithm="dflash", proposal_methods=[GreedyTokenProposalConfig(speculative_tokens=block if from_anchor else block - 1)],
                default_proposal_method="greedy", verifier=VerifierConfig(name_or_path=str(case / "verifier"), architectures=vcfg.architectures)))
        model = DFlashDraftModel(config=cfg)
        model.load_vocab_mappings(t2d, d2t); model.load_verifier_weights()
        randomise(model, gen, skip=("embed_tokens", "verifier_", "lm_head"))
        lengths = [rng.randint(16, 26) for _ in range(3)]; used = sum(lengths); total = 88
        pos = torch.zeros(1, total, dtype=torch.long); docs = torch.full((1, total), -1); o = 0
        for i, L in enumerate(lengths): pos[0, o:o + L] = torch.arange(L); docs[0, o:o + L] = i; o += L
        mask = (torch.rand(1, total, generator=gen) < 0.75).to(torch.long); mask[0, used:] = 0; o = 0
        for L in lengths: mask[0, o:o + block] = 0; o += L  # the first tokens of a text are a prompt's, so that no block's target lies in the next text
        x = dict(hidden_states=torch.randn(1, total, 3 * hidden, generator=gen), input_ids=torch.randint(0, vocab - 1, (1, total), generator=gen),
                 loss_mask=mask, position_ids=pos, document_ids=docs, verifier_last_hidden_states=torch.randn(1, total, hidden, generator=gen))
        for k in ("hidden_states", "input_ids", "verifier_last_hidden_states"): x[k][0, used:] = 0
        chosen = {}; draw = core.select_anchors
        def noted(*args):
            found = draw(*args); chosen["anchors"], chosen["valid"] = found; return found
        core.select_anchors = noted
        kw = dict(max_anchors=anchors, gamma=gamma)
        opt = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)  # a draft that has learnt something: accuracies that are not zero
        for _ in range(25):
            opt.zero_grad(); _, loss, _ = model(**x, **kw); loss.backward(); opt.step()
        save_speculator(model, case)
        save_file({k: v.contiguous() for k, v in {**x, "lengths": torch.tensor(lengths)}.items()}, case / "inputs.safetensors")
        out, seen = {}, []
        hook = model.lm_head.register_forward_hook(lambda m, i, o: seen.append(o.detach().clone()))
        model.zero_grad(set_to_none=True)
        _, loss, m = model(**x, **kw); loss.backward(); hook.remove()
        valid = chosen["valid"]; rows = valid.repeat_interleave(block)
        out["anchors"] = chosen["anchors"][valid]; out["logits"] = seen[0][0, rows]
        for k, p in model.named_parameters():
            if p.grad is not None: out[f"grad.{k}"] = p.grad.detach().clone()
        metrics = {"gamma": gamma, **{k: float(v) for k, v in m.items()}}
        # Proposals: a block behind each of the first document's prefixes, worked as a batch of that prefix alone.
        prefixes = list(range(1, lengths[0] - 1, 4)); proposals = []
        for p in prefixes:
            one = {k: v[:, :p + block + 1].clone() for k, v in x.items()}; L = p + block + 1
            one["document_ids"] = torch.zeros(1, L, dtype=torch.long); one["position_ids"] = torch.arange(L)[None]
            one["loss_mask"] = torch.ones(1, L, dtype=torch.long)
            core.select_anchors = lambda *_: (torch.tensor([p]), torch.tensor([True]))
            with torch.no_grad(): _, logits, _, _, _ = model._backbone_forward(**one, max_anchors=1)
            ids = logits[0, 0 if from_anchor else 1:].argmax(-1)
            proposals.append((ids + model.d2t[ids] if model.d2t is not None else ids))
        core.select_anchors = draw
        out["proposals"] = torch.stack(proposals); out["prefixes"] = torch.tensor(prefixes)
        save_file({k: v.contiguous() for k, v in out.items()}, case / "expected.safetensors")
        (case / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
        index["cases"][name] = dict(layer_types=types, hidden=hidden, vocab=vocab, draft_vocab=dv, block_size=block, sample_from_anchor=from_anchor, max_anchors=anchors,
            gamma=gamma, dtype="float32", lengths=lengths, total=total, has_gradient=sorted(k[5:] for k in out if k.startswith("grad.")))
    (root / "index.json").write_text(json.dumps(index, indent=2) + "\n")


if __name__ == "__main__": main()
