"""Maps a vocabulary with the Python system's own code, importing what its script imports.

Usage: bench_vocabulary.py TOKEN_FREQ.pt DRAFT TARGET OUT
"""

import sys
from pathlib import Path

import numpy
import torch
from transformers import AutoConfig  # noqa: F401

from speculators.train.vocab_mapping import build_vocab_mappings_from_distribution


def main(path, draft, target, out):
    frequencies = torch.load(path, weights_only=True)
    d2t, t2d = build_vocab_mappings_from_distribution(frequencies, draft, target)
    Path(out).mkdir(parents=True, exist_ok=True)
    numpy.save(Path(out) / "d2t.npy", d2t.numpy())
    numpy.save(Path(out) / "t2d.npy", t2d.numpy())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
