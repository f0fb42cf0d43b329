#!/usr/bin/env python3
"""export.py FOLDER [--lm FILE] [--codec FILE] [--encoder FILE]: write a checkpoint folder in the published layout, bf16.

What is not given is written as fresh, untrained weights: enough to try the pipeline, not to listen.
"""

import argparse
import json
import pathlib

import torch
import yaml
from safetensors.torch import save_file

import layout
import lm
import speech
import tokenizer

SHARPENED = 4.3                                        # logits: the engine's own temperature, 0.8, then draws as 0.19 did in training


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("folder", type=pathlib.Path)
    a.add_argument("--lm")
    a.add_argument("--codec")
    a.add_argument("--encoder")
    a = a.parse_args()
    config = layout.configs()
    tables = {"llm": layout.llm_shapes, "bicodec": layout.bicodec_shapes, "wav2vec2": layout.wav2vec2_shapes}
    w = {part: layout.weights(table(config[part])) for part, table in tables.items()}
    w["bicodec"]["quantizer.codebook.weight"] = torch.tensor(speech.codebook())
    trained = {}
    for path in filter(None, (a.lm, a.codec, a.encoder)):
        trained |= torch.load(path, map_location="cpu")["weights"]
    embedding = {n.removeprefix("embedding."): trained.pop(n) for n in list(trained) if n.startswith("embedding.")}
    if embedding:
        module = lm.Embedding(config["llm"]["hidden_size"])
        module.load_state_dict(embedding, strict=False)
        w["llm"]["model.embed_tokens.weight"] = module.matrix().detach()
    for n, x in trained.items():
        if n.startswith("auxiliary."):                 # of training only
            continue
        part = "llm" if n.startswith("model.") else "wav2vec2" if n.startswith("wav2vec2.") else "bicodec"
        w[part][n.removeprefix("wav2vec2.")] = x
    if a.lm:
        w["llm"]["model.norm.weight"] = w["llm"]["model.norm.weight"] * SHARPENED
    names = {"llm": "LLM", "bicodec": "BiCodec", "wav2vec2": "wav2vec2-large-xlsr-53"}
    for part, name in names.items():
        (a.folder / name).mkdir(parents=True, exist_ok=True)
        for n, shape in tables[part](config[part]).items():
            assert tuple(w[part][n].shape) == tuple(shape), n
            w[part][n] = w[part][n].detach().to(torch.bfloat16).contiguous()
    (a.folder / "config.yaml").write_text(yaml.safe_dump(config["top"], sort_keys=False))
    (a.folder / "BiCodec/config.yaml").write_text(yaml.safe_dump({"audio_tokenizer": config["bicodec"]}, sort_keys=False))
    (a.folder / "LLM/config.json").write_text(json.dumps(config["llm"], indent=2))
    tokenizer.write(a.folder / "LLM")
    folder = a.folder / names["wav2vec2"]
    (folder / "config.json").write_text(json.dumps(config["wav2vec2"], indent=2))
    save_file(w["llm"], a.folder / "LLM/model.safetensors", {"format": "pt"})
    save_file(w["bicodec"], a.folder / "BiCodec/model.safetensors", {"format": "pt"})
    torch.save({f"wav2vec2.{n}": x for n, x in w["wav2vec2"].items()}, folder / "pytorch_model.bin")
    size = sum(f.stat().st_size for f in a.folder.rglob("*") if f.is_file())
    print(f"{a.folder}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
