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


ROOT = Path(importlib.util.find_spec("speculators").submodule_search_locations[0])


def package(name, folder):
    """A package without its code, which imports models, and these need certain versions of transformers."""
    module = types.ModuleType(name)
    module.__path__ = [str(ROOT / folder)]
    sys.modules[name] = module


def data_module():
    package("speculators", ".")
    package("speculators.train", "train")
    return importlib.import_module("speculators.train.data")


def dataset(data, max_length, files):
    """Version 0.7 has another name for it, keeps bfloat16 unless told otherwise, and shifts rows later."""
    if hasattr(data, "Eagle3SampleFileDataset"):
        return data.Eagle3SampleFileDataset(max_len=max_length, file_list=files)
    import torch

    return data.SampleFileDataset(max_len=max_length, file_list=files, hidden_states_dtype=torch.float32)


def collate(data, samples, max_length):
    rows = [samples[i] for i in range(len(samples))]
    if hasattr(data, "create_collate_fn"):
        return data.create_collate_fn(max_length)(rows)
    import torch

    width = rows[0]["verifier_last_hidden_states"].shape[-1]
    for name in ("models", "models.eagle3"):
        package(f"speculators.{name}", name.replace(".", "/"))
    preprocess = importlib.import_module("speculators.models.eagle3.data").shift_batch
    batch = data.CollateFn(max_length, width, dtype=torch.float32, preprocess=preprocess)(rows)
    documents = batch.pop("document_ids")
    batch["lengths"] = torch.bincount(documents[documents >= 0])
    return batch


def main(folder, max_length, out):
    data = data_module()
    files = sorted(data.list_files(folder), key=lambda path: int(path.stem.split("_")[-1]))
    batch = collate(data, samples := dataset(data, max_length, files), max_length)
    found = {"files": [path.name for path in files], "approx_lengths": samples.approx_lengths, "tensors": {}}
    for name, tensor in batch.items():
        (Path(out) / f"{name}.bin").write_bytes(tensor.contiguous().numpy().tobytes())
        found["tensors"][name] = {"dtype": str(tensor.dtype), "shape": list(tensor.shape)}
    (Path(out) / "batch.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
