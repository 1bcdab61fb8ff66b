"""Tokenises and masks conversations with the Python system's own code, in one process.

Usage: bench_preprocess.py MODEL CONVERSATIONS.jsonl MAX_LENGTH
Prints {"seconds": of that alone, "tokens": in all}. Reading the file and loading the tokenizer are not counted.
"""

import importlib
import importlib.util
import json
import os
import sys
import time
import types
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_DATASETS_OFFLINE"] = "1"


def preprocessing():
    """The module alone: the package around it imports vLLM."""
    root = Path(importlib.util.find_spec("speculators").submodule_search_locations[0])
    for name in ("", "data_generation", "train"):
        package = types.ModuleType(f"speculators.{name}".rstrip("."))
        package.__path__ = [str(root / name)]
        sys.modules[package.__name__] = package
    return importlib.import_module("speculators.data_generation.preprocessing")


def main(model, path, max_length):
    import datasets
    from transformers import AutoTokenizer

    module = preprocessing()
    datasets.disable_caching()
    datasets.disable_progress_bars()
    tokenizer = AutoTokenizer.from_pretrained(model)
    with open(path) as file:
        rows = datasets.Dataset.from_list([json.loads(line) for line in file])
    start = time.perf_counter()
    made = module.build_eagle3_dataset(rows, tokenizer, max_length=max_length, num_proc=1)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "tokens": sum(len(ids) for ids in made["input_ids"])}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
