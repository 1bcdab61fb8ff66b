"""Rates of transformers in f32 on PyTorch's CPU backend: a line of JSON for each line read.

usage: python smollm2_peer.py MODEL THREADS PROMPT_TOKENS NEW_TOKENS
"""
import json, sys, time
import torch
from transformers import AutoModelForCausalLM

folder, threads, prompt, new = sys.argv[1], *map(int, sys.argv[2:])
torch.set_num_threads(threads)
begin = time.time()
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
load = time.time() - begin
ids = (torch.arange(prompt) * 37 % 40000)[None]
for _ in sys.stdin:
    with torch.no_grad():
        begin = time.time()
        out = model(ids, use_cache=True, logits_to_keep=1)
        prefill = prompt / (time.time() - begin)
        begin = time.time()
        for _ in range(new):
            out = model(out.logits[:, -1].argmax(-1, keepdim=True), past_key_values=out.past_key_values, use_cache=True)
        decode = new / (time.time() - begin)
    print(json.dumps(dict(load=load, prefill=prefill, decode=decode)), flush=True)
