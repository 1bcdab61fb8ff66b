"""Golden fixtures of upstream's Eagle-3 draft with the norms of Eagle-3.1 (speculators 0.7.0.1): logits, loss, metrics, gradients.

usage: python eagle31.py --out DIR --seed N
"""
import argparse, json, pathlib, random

import torch
from safetensors.torch import save_file
from speculators.config import SpeculatorsConfig, VerifierConfig
from speculators.models.eagle3 import Eagle3DraftModel, Eagle3SpeculatorConfig
from speculators.proposals.greedy import GreedyTokenProposalConfig
from transformers import LlamaConfig, Qwen3Config

CASES = [  # name, kind, layers, flags, draft vocabulary (None = whole), auxiliary states
    ("fc-norm", "llama", 1, dict(fc_norm=True), 40, 3),
    ("norm-output", "llama", 1, dict(norm_output=True), None, 3),
    ("both-qwen3", "qwen3", 2, dict(fc_norm=True, norm_output=True, norm_before_residual=True), 40, 2),
    ("before-fc", "llama", 1, dict(norm_before_fc=True, norm_output=True), 40, 3),
]
RUNS = [("base", 1.0), ("decay", 0.8)]


def make_verifier(path, kind, hidden, vocab, layers, gen):
    path.mkdir(parents=True, exist_ok=True)
    cls = {"llama": LlamaConfig, "qwen3": Qwen3Config}[kind]
    cfg = cls(vocab_size=vocab, hidden_size=hidden, intermediate_size=2 * hidden, num_hidden_layers=layers, num_attention_heads=4, num_key_value_heads=2,
              head_dim=hidden // 4, max_position_embeddings=256, rms_norm_eps=1e-5, pad_token_id=None, bos_token_id=None, eos_token_id=2, tie_word_embeddings=False)
    cfg.architectures = [{"llama": "LlamaForCausalLM", "qwen3": "Qwen3ForCausalLM"}[kind]]
    cfg.save_pretrained(path)
    r = lambda *s: torch.randn(*s, generator=gen)
    weights = {"model.embed_tokens.weight": r(vocab, hidden) * 0.5, "lm_head.weight": r(vocab, hidden) * 0.3, "model.norm.weight": 1 + 0.1 * r(hidden)}
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
    return cfg


def draft_vocabulary(vocab, size, gen):
    if size is None: return vocab, None, None
    keep = torch.randperm(vocab, generator=gen)[:size].sort().values
    t2d = torch.zeros(vocab, dtype=torch.bool); t2d[keep] = True
    return size, t2d, keep - torch.arange(size)


def randomise(model, gen, skip=("embed_tokens", "verifier_")):
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.startswith(skip): continue
            if "norm" in name: p.copy_(1 + 0.1 * torch.randn(p.shape, generator=gen))
            elif name == "lm_head.weight": p.add_(0.05 * torch.randn(p.shape, generator=gen))
            else: p.copy_(torch.randn(p.shape, generator=gen) / p.shape[-1] ** 0.5)


def save_speculator(model, case):
    model.save_pretrained(case); (case / "config.py").unlink(missing_ok=True)  # upstream copies its own module beside the weights
    c = json.loads((case / "config.json").read_text()); c["speculators_config"]["verifier"]["name_or_path"] = "verifier"
    (case / "config.json").write_text(json.dumps(c, indent=2) + "\n")


def main():
    ap = argparse.ArgumentParser(); ap.add_argument("--out", required=True); ap.add_argument("--seed", type=int, required=True)
    a = ap.parse_args(); rng = random.Random(a.seed); root = pathlib.Path(a.out) / "eagle31"
    hidden = rng.choice([32, 40]); vocab = rng.choice([80, 96]); layers = rng.choice([6, 8])
    index = {"seed": a.seed, "cases": {}}
    for n, (name, kind, n_layers, flags, draft_vocab, states) in enumerate(CASES):
        gen = torch.Generator().manual_seed(a.seed * 1000 + n); torch.manual_seed(a.seed * 1000 + n)
        case = root / name; case.mkdir(parents=True, exist_ok=True)
        vcfg = make_verifier(case / "verifier", kind, hidden, vocab, layers, gen)
        cls = {"llama": LlamaConfig, "qwen3": Qwen3Config}[kind]
        tl = cls(vocab_size=vocab, hidden_size=hidden, intermediate_size=hidden + 16, num_hidden_layers=n_layers, num_attention_heads=4, num_key_value_heads=2,
                 head_dim=hidden // 4, max_position_embeddings=256, rms_norm_eps=1e-5, pad_token_id=None)
        tl._attn_implementation = "sdpa"  # flex attention has no backward on a CPU; eager extends its additive mask by ones and zeros: every later step would see all rows
        dv, t2d, d2t = draft_vocabulary(vocab, draft_vocab, gen)
        ids = [2, layers // 2, layers - 3][:states]
        cfg = Eagle3SpeculatorConfig(transformer_layer_config=tl, draft_vocab_size=dv, eagle_aux_hidden_state_layer_ids=ids, **flags,
            speculators_config=SpeculatorsConfig(algorithm="eagle3", proposal_methods=[GreedyTokenProposalConfig(speculative_tokens=3)], default_proposal_method="greedy",
                verifier=VerifierConfig(name_or_path=str(case / "verifier"), architectures=vcfg.architectures)))
        model = Eagle3DraftModel(config=cfg)
        model.load_vocab_mappings(t2d, d2t); model.load_verifier_weights()
        randomise(model, gen)
        model.lm_head.weight.requires_grad_(True)  # upstream keeps it as it is since 0.5; its gradient is what a trained head gets
        lengths = [rng.randint(12, 20) for _ in range(3)]; total = 64; used = sum(lengths)
        pos = torch.zeros(1, total, dtype=torch.long); docs = torch.full((1, total), -1); o = 0
        for i, L in enumerate(lengths): pos[0, o:o + L] = torch.arange(1, L + 1); docs[0, o:o + L] = i; o += L
        mask = (torch.rand(1, total, generator=gen) < 0.7).to(torch.long); mask[0, used:] = 0
        o = 0
        for L in lengths: mask[0, o:o + 3] = 0; o += L  # the first tokens of a text are a prompt's, so that no step's target lies in the next text
        x = dict(hidden_states=torch.randn(1, total, states * hidden, generator=gen), input_ids=torch.randint(0, vocab, (1, total), generator=gen),
                 loss_mask=mask, position_ids=pos, document_ids=docs, verifier_last_hidden_states=torch.randn(1, total, hidden, generator=gen))
        for k in ("hidden_states", "input_ids", "verifier_last_hidden_states"): x[k][0, used:] = 0
        opt = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-3)  # a draft that has learnt something: accuracies that are not zero
        for _ in range(25):
            opt.zero_grad(); _, loss, _ = model(**{**x, "loss_mask": x["loss_mask"].clone()}, ttt_steps=3); loss.backward(); opt.step()
        save_speculator(model, case)
        save_file({k: v.contiguous() for k, v in {**x, "lengths": torch.tensor(lengths)}.items()}, case / "inputs.safetensors")
        out, metrics, seen = {}, {}, []
        hook = model.lm_head.register_forward_hook(lambda m, i, o: seen.append(o.detach().clone()))
        for run, decay in RUNS:
            model.zero_grad(set_to_none=True); seen.clear()
            drafts, loss, m = model(**{**x, "loss_mask": x["loss_mask"].clone()}, ttt_steps=3, ttt_step_loss_decay=decay)
            loss.backward()
            metrics[run] = {"decay": decay, **{k: float(v) for k, v in m.items()}}
            if run == "base":  # the decay changes no logits
                for i, d in enumerate(drafts): out[f"draft_tokens.{i}"] = d
                for i, l in enumerate(seen): out[f"logits.{i}"] = l
            for k, p in model.named_parameters():
                if p.grad is not None: out[f"{run}.grad.{k}"] = p.grad.detach().clone()
        hook.remove()
        save_file({k: v.contiguous() for k, v in out.items()}, case / "expected.safetensors")
        (case / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
        index["cases"][name] = dict(kind=kind, layers=n_layers, flags=flags, hidden=hidden, vocab=vocab, draft_vocab=dv, dtype="float32", lengths=lengths, total=total,
            has_gradient=sorted({k.split(".grad.")[1] for k in out if ".grad." in k}))
    (root / "index.json").write_text(json.dumps(index, indent=2) + "\n")


if __name__ == "__main__": main()
