"""Golden fixture of Qwen2.5-VL: what Hugging Face transformers 4.57.6 computes.

    python qwen25_vl.py --out DIR --seed N

The same layout as verifiers.py writes, in a folder of its own. ../VERIFIERS.md says what the tensors mean.
"""

import argparse
import json
from pathlib import Path

import torch
import transformers
import verifiers
from verifiers import Case, Shapes, build, vl_ids, vl_prompts

NAME = "qwen2_5-vl"


def case(s):
    ids = vl_ids(s)
    text = s.common(
        hidden_size=32, num_attention_heads=2, num_key_value_heads=1, use_sliding_window=False, max_window_layers=3,
        rope_scaling={"type": "mrope", "mrope_section": [2, 3, 3]},
    )
    vision = {
        "depth": 3, "hidden_size": 16, "intermediate_size": 20, "num_heads": 2, "in_channels": 3, "patch_size": 2,
        "spatial_merge_size": 2, "temporal_patch_size": 2, "out_hidden_size": 32, "window_size": 8,
        "fullatt_block_indexes": [1], "tokens_per_second": 2,
    }
    config = transformers.Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=False, **ids)
    model = build(transformers.Qwen2_5_VLForConditionalGeneration, config, s.seed)
    with torch.no_grad():  # a greedy run must not write image tokens that have no image
        model.lm_head.weight[s.vocab - 4 :] *= 0.02
    # windows are 2 x 2 rows: neither side is a multiple, so that some are cut
    grid = s.rng.choice([(1, 6, 10), (1, 10, 6)])
    about = "mrope in sections; a tower with windows and one block of full attention; prompt 1 has an image"
    return Case(model, vl_prompts(s, ids, grid, patch_dim=24), about=about, facts={"greedy_image": True})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    args.out.mkdir(parents=True, exist_ok=True)
    for attempt in range(50):
        entry = verifiers.write(case(Shapes(args.seed, NAME, attempt)), NAME, args.out)
        if entry["min_greedy_margin"] > verifiers.LEAST_MARGIN and entry["greedy_tokens"] >= verifiers.LEAST_TOKENS:
            break
    else:
        raise RuntimeError("near-ties, or a dull continuation, in every attempt")
    versions = {"transformers": transformers.__version__, "torch": torch.__version__.split("+")[0]}
    listing = {"cases": {NAME: entry}, "seed": args.seed} | versions
    (args.out / "manifest.json").write_text(json.dumps(listing, indent=2) + "\n")
    print(json.dumps(entry))


if __name__ == "__main__":
    main()
