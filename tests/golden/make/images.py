"""Golden fixtures for reading images: what transformers' Qwen2-VL image processors make of image files.

    python images.py --out DIR --seed N

Writes image files, DIR/index.json and DIR/expected.safetensors. For each case: the config of the processor, the
file, `<case>.rgb` (u8 [height, width, 3], as Pillow decodes the file), `<case>.slow` and `<case>.fast` (f32
[patches, numbers], of the processor over Pillow and of the one over torchvision), `<case>.grid`. Files and
configs all follow from the seed.
"""

import argparse
import io
import json
import random
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import Qwen2VLImageProcessor, Qwen2VLImageProcessorFast


def picture(rng, height, width, channels):
    """Smooth waves with some noise: what a resampler can get wrong in both."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    planes = []
    for _ in range(channels):
        a, b, c = rng.uniform(0.05, 0.5), rng.uniform(0.05, 0.5), rng.uniform(0, 6)
        wave = 127 + 90 * np.sin(a * x + b * y + c)
        noise = np.array([[rng.uniform(-40, 40) for _ in range(width)] for _ in range(height)])
        planes.append(np.clip(wave + noise, 0, 255))
    return np.stack(planes, -1).astype(np.uint8)


def smooth(rng, height, width):
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    waves = [127 + 90 * np.sin(rng.uniform(0.05, 0.2) * x + rng.uniform(0.05, 0.2) * y + i) for i in range(3)]
    return np.stack(waves, -1).astype(np.uint8)


def files(rng):
    """Name, image, how it is saved."""
    size = lambda low, high: (rng.randrange(low, high), rng.randrange(low, high))  # noqa: E731
    rgb = lambda s: Image.fromarray(picture(rng, *s, 3))  # noqa: E731
    yield "rgb", rgb(size(40, 60)), "png", {}
    yield "rgba", Image.fromarray(picture(rng, *size(30, 50), 4), "RGBA"), "png", {}
    yield "grey", Image.fromarray(picture(rng, *size(30, 50), 1)[..., 0]), "png", {}
    yield "palette", rgb(size(30, 50)).quantize(13), "png", {"bits": 4}
    yield "bits", Image.fromarray(picture(rng, *size(30, 50), 1)[..., 0]).convert("1"), "png", {}
    yield "small", rgb(size(5, 9)), "png", {}
    yield "wide", rgb((rng.randrange(8, 12), rng.randrange(90, 120))), "png", {}
    yield "same", rgb((32, 48)), "png", {}
    full = {"quality": 95, "subsampling": 0}
    yield "jpeg", Image.fromarray(smooth(rng, *size(40, 60))), "jpg", full
    yield "jpeg-half", Image.fromarray(smooth(rng, *size(40, 60))), "jpg", {"quality": 90, "subsampling": 2}
    yield "jpeg-grey", Image.fromarray(smooth(rng, *size(40, 60))[..., 0]), "jpg", {"quality": 95}
    yield "jpeg-progressive", Image.fromarray(smooth(rng, *size(40, 60))), "jpg", full | {"progressive": True}
    exif = Image.Exif()
    exif[0x0112] = rng.choice([6, 8])
    yield "jpeg-turned", Image.fromarray(smooth(rng, *size(40, 60))), "jpg", full | {"exif": exif}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    from transformers.image_utils import load_image

    rng, cases, expected = random.Random(args.seed), {}, {}
    for name, image, kind, how in files(rng):
        patch, merge = rng.choice([4, 6, 8]), 2
        factor = patch * merge
        config = {
            "patch_size": patch, "merge_size": merge, "temporal_patch_size": 2,
            "image_mean": rng.choice([[0.5, 0.5, 0.5], [0.48145466, 0.4578275, 0.40821073]]),
            "image_std": rng.choice([[0.5, 0.5, 0.5], [0.26862954, 0.26130258, 0.27577711]]),
        }
        if name == "same":
            config |= {"patch_size": 8}
            factor = 16
        bounds = {"shortest_edge": 4 * factor**2, "longest_edge": rng.choice([6, 15]) * factor**2}
        old = {"min_pixels": bounds["shortest_edge"], "max_pixels": bounds["longest_edge"]}
        config |= {"size": bounds} if rng.random() < 0.6 else old
        file = f"{name}.{kind}"
        image.save(args.out / file, **how)
        read = load_image(str(args.out / file))
        # 4.57.6's processor over Pillow does not read "size"
        bounded = {k: v for k, v in config.items() if k != "size"} | old
        slow = Qwen2VLImageProcessor(**bounded)(images=[read], return_tensors="pt")
        fast = Qwen2VLImageProcessorFast(**config)(images=[read], return_tensors="pt")
        assert torch.equal(slow["image_grid_thw"], fast["image_grid_thw"])
        expected[f"{name}.rgb"] = torch.from_numpy(np.asarray(read).copy())
        expected[f"{name}.slow"] = slow["pixel_values"].float().contiguous()
        expected[f"{name}.fast"] = fast["pixel_values"].float().contiguous()
        expected[f"{name}.grid"] = slow["image_grid_thw"][0].to(torch.int32).contiguous()
        gap = float((expected[f"{name}.slow"] - expected[f"{name}.fast"]).abs().max())
        coarse = how.get("subsampling") == 2  # colours of half the size, which decoders widen each in its way
        cases[name] = {"file": file, "config": config, "coarse_colours": coarse, "processors_apart": gap}
        print(name, read.size, tuple(slow["image_grid_thw"][0].tolist()), gap, flush=True)
    save_file(expected, args.out / "expected.safetensors")
    (args.out / "index.json").write_text(json.dumps({"seed": args.seed, "cases": cases}, indent=2) + "\n")


if __name__ == "__main__":
    main()
