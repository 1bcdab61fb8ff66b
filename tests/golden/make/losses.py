"""Golden values of upstream's losses (speculators 0.7.0.1, `models/metrics.py`): weighted loss and gradient by the logits.

usage: python losses.py --out DIR --seed N
"""
import argparse, json, pathlib

import torch
from safetensors.torch import save_file
from speculators.models.metrics import compound_loss, resolve_loss_config

# name, rows, vocabulary, spread of the logits, how far the draft is from the verifier
CASES = [("near", 6, 97, 2.0, 0.2), ("far", 6, 97, 2.0, 2.0), ("peaked", 4, 33, 12.0, 6.0), ("wide", 3, 1030, 3.0, 1.0)]
SPECS = ["kl_div", "rkl", "jsd", "ce", "tv", "nla", "lk_hybrid", '{"ce": 0.1, "tv": 0.9}', '{"kl_div": 0.5, "nla": 0.25, "jsd": 2}']


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--out", type=pathlib.Path, required=True)
    args.add_argument("--seed", type=int, default=0)
    args = args.parse_args()
    gen = torch.Generator().manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    index, tensors = {"specs": SPECS, "cases": {}}, {}
    for name, rows, vocabulary, spread, apart in CASES:
        targets = spread * torch.randn(1, rows, vocabulary, generator=gen)
        logits = targets + apart * torch.randn(1, rows, vocabulary, generator=gen)
        mask = torch.ones(1, rows, dtype=torch.bool)
        mask[0, 1] = False
        tensors |= {f"{name}.logits": logits[0], f"{name}.targets": targets[0].contiguous(), f"{name}.mask": mask[0].to(torch.uint8)}
        index["cases"][name] = {}
        for i, spec in enumerate(SPECS):
            x = logits.clone().requires_grad_()
            loss, terms = compound_loss(x, targets, mask, torch.zeros(1, rows, dtype=torch.long), resolve_loss_config(spec))
            loss.backward()
            tensors[f"{name}.grad.{i}"] = x.grad[0].contiguous()
            index["cases"][name][spec] = {"loss": loss.item(), "terms": {k: v.item() for k, v in terms.items()}}
    save_file({k: v.contiguous() for k, v in tensors.items()}, args.out / "losses.safetensors")
    (args.out / "index.json").write_text(json.dumps(index, indent=1) + "\n")


main()
