#!/usr/bin/env python3
"""check.py MODEL DATA [--sparkmill PROGRAM]: does the engine compute what was trained?

A sentence is spoken in a created voice without chance; one of DATA (make_data.py --more sound) is cloned and continued; all in
float32. Beside it the training's own networks do the same with the same weights. Exit status 1 where the two differ. Works with untrained weights too.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import wave

import numpy as np
import torch
from safetensors.torch import load_file
import yaml

import codec
import lm
import speech
import tokenizer
from hearing import samples
from train_encoder import normalise_volume

TEXT, SECONDS = "The mill is open.", 1


def load(path):
    return np.array(samples(path), np.float64) / 32768


def read_model(folder):
    config = {"llm": json.loads((folder / "LLM/config.json").read_text()),
              "bicodec": yaml.safe_load((folder / "BiCodec/config.yaml").read_text())["audio_tokenizer"],
              "wav2vec2": json.loads((folder / "wav2vec2-large-xlsr-53/config.json").read_text())}
    heard = torch.load(folder / "wav2vec2-large-xlsr-53/pytorch_model.bin")
    w = {"llm": load_file(folder / "LLM/model.safetensors"), "bicodec": load_file(folder / "BiCodec/model.safetensors"),
         "wav2vec2": {n.removeprefix("wav2vec2."): x for n, x in heard.items()}}
    return config, {part: {n: x.float() for n, x in tensors.items()} for part, tensors in w.items()}


def greedy(config, w, ids, choices, n):
    """Append up to n ids, each the likeliest of `choices`; stops at the end of speech."""
    embed = w["model.embed_tokens.weight"]
    for _ in range(n):
        logits = embed[choices] @ lm.forward(w, config, embed, torch.tensor([ids]))[0, -1]
        best = choices[int(logits.argmax())]
        if best == lm.IM_END:
            break
        ids = ids + [best]
    return ids


def family(name):
    return [tokenizer.first(name) + i for i in range(tokenizer.FAMILIES[name])]


def create(config, w):
    """(global codes, semantic tokens) of TEXT in a female voice, moderate."""
    m, first = tokenizer.marker, tokenizer.first
    ids = [m("task_controllable_tts"), m("start_content"), *tokenizer.encode(TEXT), m("end_content"),
           m("start_style_label"), first("gender"), first("pitch_label") + 2, first("speed_label") + 2,
           m("end_style_label"), m("start_acoustic_token")]
    ids = greedy(config, w, ids, family("pitch_value"), 1)
    ids = greedy(config, w, ids, family("speed_value"), 1)
    ids = greedy(config, w, ids + [m("end_acoustic_token"), m("start_global_token")], family("bicodec_global"), 32)
    voice = [i - lm.GLOBAL for i in ids[-32:]]
    prompt = ids + [m("end_global_token"), m("start_semantic_token")]
    said = greedy(config, w, prompt, family("bicodec_semantic") + [lm.IM_END], 50 * SECONDS)[len(prompt):]
    return voice, [i - lm.SEMANTIC for i in said]


def sound(config, w, voice, said):
    levels = np.array(speech.GLOBAL_LEVELS)
    digits = np.array(voice)[:, None] // (levels[0] ** np.arange(len(levels))) % levels
    d = codec.speaker_vector(w, torch.tensor(digits)[None])
    x = codec.prenet(w, config, torch.tensor([said]), d)
    return codec.wave_generator(w, config, x + d[:, :, None])[0].numpy()


def listen(config, w, x):
    """(global codes, semantic tokens) of a recording."""
    x = normalise_volume(torch.tensor(x)[None])[0].float()
    n = 96000
    clip = x.repeat(n // len(x) + 1)[:n] if len(x) < n else x[:n]
    b, mel = w["bicodec"], config["bicodec"]["mel_params"]
    spectrum = codec.mel_spectrogram(mel, clip[None], codec.mel_filters(mel))
    digits = codec.fsq_levels(codec.perceiver(b, codec.ecapa(b, spectrum).transpose(1, 2))).round()
    voice = (digits[0] * 4 ** torch.arange(digits.shape[2])).sum(1).int().tolist()
    features = codec.wav2vec2(w["wav2vec2"], config["wav2vec2"], x[None])
    z = torch.nn.functional.normalize(codec.encode(b, config["bicodec"], features)[0], dim=1)
    book = torch.nn.functional.normalize(b["quantizer.codebook.weight"], dim=1)
    return voice, (z @ book.t()).argmax(1).tolist()


def recording(data, path):
    """Write the first sentence of 3 s and more as a sound file; (its text, its samples)."""
    z = np.load(data)
    frames = np.diff(z["tokens_end"], prepend=0)
    i = int(np.flatnonzero(frames >= 150)[0])
    end, text_end = z["tokens_end"][i], z["text_end"]
    sound = z["sound"][end - frames[i]:end].reshape(-1)
    with wave.open(str(path), "wb") as f:
        f.setparams((1, 2, speech.SAMPLE_RATE, 0, "NONE", ""))
        f.writeframes(sound.tobytes())
    return z["text"].tobytes()[text_end[i - 1] if i else 0:text_end[i]].decode(), sound / 32768.0


def share(a, b):
    return sum(x == y for x, y in zip(a, b)) / max(len(a), len(b), 1)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("model", type=pathlib.Path)
    a.add_argument("data", type=pathlib.Path)
    a.add_argument("--sparkmill", default="build/release/bin/sparkmill")
    a = a.parse_args()
    torch.set_grad_enabled(False)
    config, w = read_model(a.model)
    failed = False

    def verdict(what, value, least):
        nonlocal failed
        failed |= not value >= least
        print(f"{'good' if value >= least else 'BAD '} {what}: {value:.4f} (at least {least})")

    with tempfile.TemporaryDirectory() as folder:
        def run(*command):
            done = subprocess.run([a.sparkmill, *command, "--model", str(a.model)], cwd=folder, capture_output=True, text=True)
            if done.returncode:
                sys.exit(done.stderr)

        a.sparkmill, a.model = str(pathlib.Path(a.sparkmill).resolve()), a.model.resolve()
        plain = ("--precision", "fp32", "--no-cache", "--max-seconds", str(SECONDS))
        run("say", TEXT, "-o", "made.wav", "--save-voice", "made.voice", "--temperature", "0", "--devices", "cpu", *plain)
        path = pathlib.Path(folder)
        voice, said = create(config["llm"], w["llm"])
        verdict("created voice, equal global tokens", share(voice, json.loads((path / "made.voice").read_text())["global_tokens"]), 1)
        ours, theirs = sound(config["bicodec"], w["bicodec"], voice, said), load(path / "made.wav")
        verdict("spoken, equal length", min(len(ours), len(theirs)) / max(len(ours), len(theirs)), 1)
        n = min(len(ours), len(theirs))
        verdict("spoken, correlation of the waves", float(np.corrcoef(ours[:n], theirs[:n])[0, 1]), 0.999)
        text, x = recording(a.data, path / "clip.wav")
        run("clone", "clip.wav", "-o", "clone.voice", "--transcript", text, "--consent", "A synthetic voice of our own.", "--keep-silence",
            "--precision", "fp32")
        clone = json.loads((path / "clone.voice").read_text())
        voice, said = listen(config, w, x)
        verdict("cloned, equal global tokens", share(voice, clone["global_tokens"]), 0.97)
        verdict("cloned, equal semantic tokens", share(said, clone["semantic_tokens"]), 0.97)
        run("say", TEXT, "-o", "more.wav", "--voice", "clone.voice", "--devices", "cpu", *plain)
        verdict("continued, seconds", len(load(path / "more.wav")) / 16000, 0.02)
    sys.exit(failed)


if __name__ == "__main__":
    main()
