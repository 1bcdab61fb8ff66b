"""Golden fixtures of upstream's MTP draft model (speculators 0.7.0.1): logits, loss, metrics, gradients, and conversion of native heads.

usage: python mtp.py --out DIR --seed N
"""
import argparse, json, pathlib, random

import torch
from safetensors.torch import save_file
from speculators.config import SpeculatorsConfig, VerifierConfig
from speculators.convert.mtp.converter import MTPConverter
from speculators.models.mtp import MTPDraftModel, MTPSpeculatorConfig
from speculators.models.mtp.core import compute_step_weights
from speculators.proposals.greedy import GreedyTokenProposalConfig
from transformers import Qwen3Config
from transformers.models.qwen3_5.configuration_qwen3_5 import Qwen3_5TextConfig
from transformers.models.qwen3_next.configuration_qwen3_next import Qwen3NextConfig

from eagle31 import make_verifier, randomise, save_speculator

CASES = [  # name, steps, beta
    ("three-steps", 3, 0.6),
    ("two-steps", 2, 0.8),
    ("one-step", 1, 0.6),
]


def native_config(kind, hidden, vocab):
    common = dict(vocab_size=vocab, hidden_size=hidden, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2, head_dim=16, max_position_embeddings=256,
                  rms_norm_eps=1e-6, linear_num_key_heads=2, linear_num_value_heads=2, linear_key_head_dim=8, linear_value_head_dim=8,
                  layer_types=["linear_attention"] * 3 + ["full_attention"], tie_word_embeddings=False)
    if kind == "qwen3_5_text": return Qwen3_5TextConfig(intermediate_size=2 * hidden, **common)
    return Qwen3NextConfig(intermediate_size=2 * hidden, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=hidden // 2,
                           shared_expert_intermediate_size=hidden // 2, decoder_sparse_step=1, mlp_only_layers=[], **common)


def native_head(kind, cfg, gen):
    """The `mtp.*` weights as a published verifier holds them: experts one by one."""
    probe = MTPDraftModel(MTPSpeculatorConfig(transformer_layer_config=cfg, speculators_config=SpeculatorsConfig(algorithm="mtp", default_proposal_method="greedy",
        proposal_methods=[GreedyTokenProposalConfig(speculative_tokens=3)], verifier=VerifierConfig(name_or_path=None, architectures=[]))))
    back = [("mtp_layers.0.input_proj.weight", "mtp.fc.weight"), ("mtp_layers.0.final_layernorm.weight", "mtp.norm.weight"),
            ("mtp_layers.0.hidden_layernorm.", "mtp.pre_fc_norm_hidden."), ("mtp_layers.0.token_layernorm.", "mtp.pre_fc_norm_embedding."), ("mtp_layers.0.", "mtp.layers.0.")]
    out = {}
    for key, value in probe.state_dict().items():
        if not key.startswith("mtp_layers."): continue
        new = next(new + key[len(old):] for old, new in back if key.startswith(old))
        fresh = torch.randn(value.shape, generator=gen) / value.shape[-1] ** 0.5
        if new.endswith("experts.gate_up_proj"):
            for i, part in enumerate(fresh):
                gate, up = part.chunk(2); stem = new.removesuffix("gate_up_proj")
                out[f"{stem}{i}.gate_proj.weight"], out[f"{stem}{i}.up_proj.weight"] = gate.clone(), up.clone()
        elif new.endswith("experts.down_proj"):
            for i, part in enumerate(fresh): out[f"{new.removesuffix('down_proj')}{i}.down_proj.weight"] = part.clone()
        else: out[new] = fresh
    return out


def main():
    ap = argparse.ArgumentParser(); ap.add_argument("--out", required=True); ap.add_argument("--seed", type=int, required=True)
    a = ap.parse_args(); rng = random.Random(a.seed); root = pathlib.Path(a.out) / "mtp"
    hidden = rng.choice([32, 40]); vocab = rng.choice([80, 96]); layers = rng.choice([6, 8])
    index = {"seed": a.seed, "cases": {}, "conversions": {}}
    for n, (name, steps, beta) in enumerate(CASES):
        gen = torch.Generator().manual_seed(a.seed * 1000 + n); torch.manual_seed(a.seed * 1000 + n)
        case = root / name; case.mkdir(parents=True, exist_ok=True)
        vcfg = make_verifier(case / "verifier", "qwen3", hidden, vocab, layers, gen)
        tl = Qwen3Config(vocab_size=vocab, hidden_size=hidden, intermediate_size=2 * hidden, num_hidden_layers=layers, num_attention_heads=4, num_key_value_heads=2,
                         head_dim=hidden // 4, max_position_embeddings=256, rms_norm_eps=1e-5, pad_token_id=None)
        tl._attn_implementation = "eager"
        cfg = MTPSpeculatorConfig(transformer_layer_config=tl, speculators_config=SpeculatorsConfig(algorithm="mtp", default_proposal_method="greedy",
            proposal_methods=[GreedyTokenProposalConfig(speculative_tokens=steps)], verifier=VerifierConfig(name_or_path=str(case / "verifier"), architectures=vcfg.architectures)))
        model = MTPDraftModel(config=cfg); model.load_verifier_weights()
        randomise(model, gen, skip=("embed_tokens", "lm_head"))
        lengths = [rng.randint(14, 22) for _ in range(3)]; used = sum(lengths); total = 72
        pos = torch.zeros(1, total, dtype=torch.long); o = 0
        for L in lengths: pos[0, o:o + L] = torch.arange(L); o += L
        mask = (torch.rand(1, total, generator=gen) < 0.75).to(torch.long); mask[0, used:] = 0; o = 0
        for L in lengths: mask[0, o:o + 5] = 0; o += L  # the first tokens of a text are a prompt's, so that no step's target lies in the next text
        x = dict(hidden_states=torch.randn(1, total, hidden, generator=gen), input_ids=torch.randint(0, vocab, (1, total), generator=gen), loss_mask=mask, position_ids=pos)
        for k in ("hidden_states", "input_ids"): x[k][0, used:] = 0
        weights = compute_step_weights(beta, steps)
        opt = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-3)
        for _ in range(15):
            opt.zero_grad(); _, loss, _ = model(**x, step_weights=weights); loss.backward(); opt.step()
        save_speculator(model, case)
        save_file({k: v.contiguous() for k, v in {**x, "lengths": torch.tensor(lengths)}.items()}, case / "inputs.safetensors")
        model.zero_grad(set_to_none=True)
        logits, loss, m = model(**x, step_weights=weights); loss.backward()
        out = {f"logits.{i}": l[0].detach() for i, l in enumerate(logits)}
        for k, p in model.named_parameters():
            if p.grad is not None: out[f"grad.{k}"] = p.grad.detach().clone()
        save_file({k: v.contiguous() for k, v in out.items()}, case / "expected.safetensors")
        (case / "metrics.json").write_text(json.dumps({"beta": beta, "step_weights": weights, **{k: float(v) for k, v in m.items()}}, indent=2) + "\n")
        index["cases"][name] = dict(steps=steps, beta=beta, hidden=hidden, vocab=vocab, dtype="float32", lengths=lengths, total=total, rows=int(out["logits.0"].shape[0]),
            has_gradient=sorted(k[5:] for k in out if k.startswith("grad.")))
    for n, kind in enumerate(["qwen3_next", "qwen3_5_text"]):
        gen = torch.Generator().manual_seed(a.seed * 1000 + 500 + n); case = root / f"convert-{kind}"; source = case / "source"; source.mkdir(parents=True, exist_ok=True)
        cfg = native_config(kind, hidden, vocab); cfg.architectures = [{"qwen3_next": "Qwen3NextForCausalLM", "qwen3_5_text": "Qwen3_5ForCausalLM"}[kind]]
        cfg.save_pretrained(source)
        head = native_head(kind, cfg, gen); r = lambda *s: torch.randn(*s, generator=gen)
        rest = {"model.embed_tokens.weight": r(vocab, hidden) * 0.5, "lm_head.weight": r(vocab, hidden) * 0.3, "model.norm.weight": 0.1 * r(hidden)}
        save_file({k: v.to(torch.bfloat16).contiguous() for k, v in {**head, **rest}.items()}, source / "model.safetensors", metadata={"format": "pt"})
        MTPConverter().convert(source, case / "converted", str(source), num_speculative_steps=3, validate=False)
        (case / "converted" / "config.py").unlink(missing_ok=True)
        c = json.loads((case / "converted" / "config.json").read_text()); c["speculators_config"]["verifier"]["name_or_path"] = "source"
        (case / "converted" / "config.json").write_text(json.dumps(c, indent=2) + "\n")
        index["conversions"][f"convert-{kind}"] = dict(model_type=kind, steps=3)
    (root / "index.json").write_text(json.dumps(index, indent=2) + "\n")


if __name__ == "__main__": main()
