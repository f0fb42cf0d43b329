#!/usr/bin/env python3
"""make_data.py KIT OUT --hours H --seed N [--sound]: read sentences aloud, one file OUT of what was said.

Without --sound: text and tokens, for the language model. With --sound: what the sound is rendered from, for the codec. OUT is an
.npz of flat arrays with the bounds of each sentence: text (bytes), tokens, labels; letters (letters.spoken), or voiced and mcep.
"""

import argparse
import pathlib

import numpy as np

import letters
import sentences
import speech


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("kit", type=pathlib.Path, help="folder that prepare fills")
    a.add_argument("out")
    a.add_argument("--hours", type=float, required=True)
    a.add_argument("--seed", type=int, required=True)
    a.add_argument("--sound", action="store_true")
    a = a.parse_args()
    source, rng = sentences.Source(a.kit, a.seed), np.random.default_rng(a.seed)
    texts, tokens, spoken, voiced, mcep, labels, frames = [], [], [], [], [], [], 0
    while frames < a.hours * 3600 * 50:
        drawn = [(speech.VOICES[rng.integers(len(speech.VOICES))], source.sentence(), np.exp(rng.uniform(-0.3, 0.35)))
                 for _ in range(500)]
        jobs = [(voice[0], stretch, text) for voice, text, stretch in drawn]
        for r in speech.listen(a.kit / "teacher", jobs, a.sound):
            voice, text, _ = drawn[r.job]
            texts.append(text.encode())
            tokens.append(r.tokens)
            if a.sound:
                voiced.append(r.voiced.reshape(-1, 4))
                mcep.append(r.mcep.reshape(-1, 4, r.mcep.shape[1]).astype(np.float16))
            else:
                spoken.append(letters.spoken(text, r.tokens, r.chunks))
            labels.append((speech.VOICES.index(voice), *speech.attributes(voice, r)))
            frames += len(r.tokens)
    more = dict(voiced=np.concatenate(voiced), mcep=np.concatenate(mcep)) if a.sound else dict(letters=np.concatenate(spoken))
    np.savez(a.out, text=np.frombuffer(b"".join(texts), np.uint8), text_end=np.cumsum([len(t) for t in texts]),
             tokens=np.concatenate(tokens), tokens_end=np.cumsum([len(t) for t in tokens]), labels=np.array(labels, np.int16), **more)
    print(f"{a.out}: {len(texts)} sentences, {frames / 180000:.2f} h")


if __name__ == "__main__":
    main()
