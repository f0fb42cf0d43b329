#!/usr/bin/env python3
"""make_data.py KIT OUT --hours H --seed N [--more MORE]: read sentences aloud, one file OUT of what was said.

MORE: none, for the language model; track, what sound is rendered from, for the codec; sound, as flite makes it, for the encoders. OUT is
an .npz of flat arrays with the bounds of each sentence: text (bytes), tokens, labels; letters (letters.spoken), voiced and mcep, or sound.
"""

import argparse
import pathlib

import numpy as np

import letters
import sentences
import speech

MORE = {
    "none": lambda text, r: dict(letters=letters.spoken(text, r.tokens, r.chunks)),
    "track": lambda text, r: dict(voiced=r.voiced.reshape(-1, 4), mcep=r.mcep.reshape(-1, 4, r.mcep.shape[1]).astype(np.float16)),
    "sound": lambda text, r: dict(sound=r.sound.reshape(-1, speech.HOP)),
}


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("kit", type=pathlib.Path, help="folder that prepare fills")
    a.add_argument("out")
    a.add_argument("--hours", type=float, required=True)
    a.add_argument("--seed", type=int, required=True)
    a.add_argument("--more", choices=MORE, default="none")
    a = a.parse_args()
    source, rng = sentences.Source(a.kit, a.seed), np.random.default_rng(a.seed)
    texts, tokens, more, labels, frames = [], [], [], [], 0
    while frames < a.hours * 3600 * 50:
        drawn = [(speech.VOICES[rng.integers(len(speech.VOICES))], source.sentence(), np.exp(rng.uniform(-0.3, 0.35)))
                 for _ in range(500)]
        jobs = [(voice[0], stretch, text) for voice, text, stretch in drawn]
        for r in speech.listen(a.kit / "teacher", jobs, a.more):
            voice, text, _ = drawn[r.job]
            texts.append(text.encode())
            tokens.append(r.tokens)
            more.append(MORE[a.more](text, r))
            labels.append((speech.VOICES.index(voice), *speech.attributes(voice, r)))
            frames += len(r.tokens)
    np.savez(a.out, text=np.frombuffer(b"".join(texts), np.uint8), text_end=np.cumsum([len(t) for t in texts]),
             tokens=np.concatenate(tokens), tokens_end=np.cumsum([len(t) for t in tokens]), labels=np.array(labels, np.int16),
             **{name: np.concatenate([m[name] for m in more]) for name in more[0]})
    print(f"{a.out}: {len(texts)} sentences, {frames / 180000:.2f} h")


if __name__ == "__main__":
    main()
