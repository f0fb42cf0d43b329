#!/usr/bin/env python3
"""train_encoder.py DATA... --out FILE --minutes M: train recording -> tokens, semantic (wav2vec2, encoder) and global (speaker encoder).

Both are supervised: the token of every frame and the voice of every sentence are known. DATA: make_data.py --sound.
"""

import numpy as np
import torch
import torch.nn.functional as F

import codec
import layout
import speech
import training

VOICE_EVERY = 4                                        # steps: the speaker encoder learns in a few hundred steps
SECONDS = 2.5                                          # of a clip; shorter sentences are repeated
SHARPNESS = 16.0                                       # of the cosines in the cross-entropy


def normalise_volume(x, target=0.2):
    """What the engine does to a recording: the loud tenth of its samples, without the loudest hundredth, to `target`."""
    loud = np.sort(np.abs(x))
    if loud[-1] < 0.1:
        x = x * 0.1 / max(loud[-1], 1e-3)
    loud = loud[loud > 0.01]
    if len(loud) <= 10:
        return x
    x = x * np.clip(target / loud[int(0.9 * len(loud)):int(0.99 * len(loud))].mean(), 0.1, 10.0)
    return x / max(1.0, np.abs(x).max())


class Recordings:
    def __init__(self, paths):
        zs = [np.load(p) for p in paths]
        self.tokens = np.concatenate([z["tokens"] for z in zs])
        self.sound = np.concatenate([z["sound"] for z in zs])
        self.end = np.cumsum(np.concatenate([np.diff(z["tokens_end"], prepend=0) for z in zs]))
        self.voice = np.concatenate([z["labels"][:, 0] for z in zs])
        self.digits = np.stack([speech.global_digits(v) for v in speech.VOICES])

    def batch(self, rng, n):
        """sound [n, samples], tokens [n, frames], digits [n, 32, 3]."""
        frames = int(SECONDS * 50)
        sounds, tokens, voices = [], [], []
        for i in rng.integers(1, len(self.end), n):
            a, b = self.end[i - 1], self.end[i]
            x = normalise_volume(self.sound[a * speech.HOP:b * speech.HOP].astype(np.float64) / 32767)
            x = x + rng.normal(size=len(x)) * 10 ** rng.uniform(-4.5, -2.5)
            at = int(rng.integers(max(1, b - a - frames + 1)))
            repeated = np.tile(np.arange(b - a), frames // (b - a) + 1)[at:at + frames]
            sounds.append(x.reshape(-1, speech.HOP)[repeated].ravel())
            tokens.append(self.tokens[a:b][repeated])
            voices.append(self.voice[i])
        return (torch.tensor(np.stack(sounds), dtype=torch.float32), torch.tensor(np.stack(tokens).astype(int)),
                torch.tensor(self.digits[voices]))


def keep_statistics(w, statistics, step):
    """Running moments of the batch normalisations."""
    keep = min(0.95, step / (step + 10))
    for p, (mean, var) in statistics.items():
        w[p + "running_mean"].mul_(keep).add_(mean, alpha=1 - keep)
        w[p + "running_var"].mul_(keep).add_(var, alpha=1 - keep)


def main():
    a = training.options(__doc__, batch=8)
    config = layout.configs()
    table = {n: s for n, s in layout.bicodec_shapes(config["bicodec"]).items()
             if n.startswith(("encoder.", "quantizer.in_project", "speaker_encoder.speaker_encoder",
                              "speaker_encoder.perceiver", "speaker_encoder.quantizer.project_in"))}
    w = {n: p.to(a.device) for n, p in layout.weights(table).items()}
    v = {n: p.to(a.device) for n, p in layout.weights(layout.wav2vec2_shapes(config["wav2vec2"])).items()}
    named = w | {"wav2vec2." + n: p for n, p in v.items()}
    params = [p.requires_grad_() for n, p in named.items() if not n.endswith(("running_mean", "running_var", "tracked"))]
    run = training.Run(a, named, [torch.optim.AdamW(params, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.0)])
    book = F.normalize(torch.tensor(speech.codebook(), device=a.device), dim=1)
    mel = config["bicodec"]["mel_params"]
    filters, recordings = codec.mel_filters(mel).to(a.device), Recordings(a.data)
    for _ in run.shares():
        sound, tokens, digits = (t.to(a.device) for t in recordings.batch(run.rng, a.batch))
        z = F.normalize(codec.encode(w, config["bicodec"], codec.wav2vec2(v, config["wav2vec2"], sound)), dim=2)
        cosine = z @ book.t()
        tokens = tokens[:, :z.shape[1]]
        loss = F.cross_entropy(SHARPNESS * cosine.flatten(0, 1), tokens.flatten())
        figures = dict(words=loss, right=(cosine.argmax(2) == tokens).float().mean())
        if run.step % VOICE_EVERY == 0:
            statistics = {}
            levels = codec.fsq_levels(codec.perceiver(w, codec.ecapa(
                w, codec.mel_spectrogram(mel, sound, filters), statistics).transpose(1, 2)))
            keep_statistics(w, statistics, run.step)
            timbre = (levels - digits).abs().clamp(min=0.2).mean()
            figures |= dict(voice=timbre, digits_right=(levels.round() == digits).float().mean())
            loss = loss + timbre
        run.learn(loss, params, 5.0, **figures)


if __name__ == "__main__":
    main()
