"""Reads a folder of samples with the Python system's own data code and writes what it makes of them.

Usage: read_samples.py SAMPLES MAX_LENGTH OUT
Writes OUT/batch.json (names, types and shapes) and OUT/NAME.bin (little-endian values).
"""

import importlib
import importlib.util
import json
import sys
import types
from pathlib import Path


def data_module():
    """The module alone: the packages around it import models, which need certain versions of transformers."""
    spec = importlib.util.find_spec("speculators")
    root = Path(spec.submodule_search_locations[0])
    for name, path in (("speculators", root), ("speculators.train", root / "train")):
        package = types.ModuleType(name)
        package.__path__ = [str(path)]
        sys.modules[name] = package
    return importlib.import_module("speculators.train.data")


def main(folder, max_length, out):
    data = data_module()
    files = sorted(data.list_files(folder), key=lambda path: int(path.stem.split("_")[-1]))
    samples = data.Eagle3SampleFileDataset(max_len=max_length, file_list=files)
    batch = data.create_collate_fn(max_length)([samples[i] for i in range(len(samples))])
    found = {"files": [path.name for path in files], "approx_lengths": samples.approx_lengths, "tensors": {}}
    for name, tensor in batch.items():
        (Path(out) / f"{name}.bin").write_bytes(tensor.contiguous().numpy().tobytes())
        found["tensors"][name] = {"dtype": str(tensor.dtype), "shape": list(tensor.shape)}
    (Path(out) / "batch.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
