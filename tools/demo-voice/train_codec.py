#!/usr/bin/env python3
"""train_codec.py DATA... --out FILE --minutes M: train tokens -> sound (prenet, wave generator, d-vector).

The sound that belongs to tokens is known to the sample, so the waveform itself is a target beside its spectra. For most of
the time the wave generator is what it begins as, the inverse of framing, and only what works at 50 frames a second is
computed; at the end all of it learns. DATA: make_data.py --sound.
"""

import numpy as np
import torch

import codec
import layout
import speech
import training
from optimiser import Muon

CONTEXT, CROP = 16, 64                                 # frames: either side without loss, of sound
WHOLE_FROM, WHOLE_SHARE = 0.95, 4                      # of the time: then the wave generator learns too, from a part of the crops
RESOLUTIONS = ((1024, 256), (512, 128), (256, 64), (128, 32))
EMPHASIS = 0.9                                         # of high frequencies in the waveform's loss


class Sounds:
    def __init__(self, paths):
        zs = [np.load(p) for p in paths]
        self.tokens = np.concatenate([z["tokens"] for z in zs])
        self.sound = np.concatenate([z["sound"] for z in zs])
        length = np.concatenate([np.diff(z["tokens_end"], prepend=0) for z in zs])
        self.voice = np.repeat(np.concatenate([z["labels"][:, 0] for z in zs]), length)
        self.sentence = np.repeat(np.arange(len(length)), length)
        self.digits = np.stack([speech.global_digits(v) for v in speech.VOICES])

    def batch(self, rng, n):
        """tokens [n, CROP + 2 CONTEXT], digits [n, 32, 3], sound [n, samples of CROP]; each inside one sentence."""
        size, begins = CROP + 2 * CONTEXT, []
        while len(begins) < n:
            a = int(rng.integers(len(self.tokens) - size))
            if self.sentence[a] == self.sentence[a + size - 1]:
                begins.append(a)
        at = np.array(begins)[:, None] + np.arange(size)
        sound = self.sound.reshape(-1, speech.HOP)[at[:, CONTEXT:-CONTEXT]].reshape(n, -1)
        return (torch.tensor(self.tokens[at].astype(int)), torch.tensor(self.digits[self.voice[begins]]),
                torch.tensor(sound.astype(np.float32) / 32767))


def spectral_loss(made, wanted):
    total = 0.0
    for n_fft, hop in RESOLUTIONS:
        window = torch.hann_window(n_fft, device=made.device)
        a, b = (torch.stft(x, n_fft, hop, n_fft, window, center=True, pad_mode="reflect", return_complex=True).abs()
                for x in (made, wanted))
        total = total + (a - b).abs().mean() / b.mean() + (torch.log(a + 1e-2) - torch.log(b + 1e-2)).abs().mean()
    return total / len(RESOLUTIONS)


def wave_loss(made, wanted):
    a, b = (x[:, 1:] - EMPHASIS * x[:, :-1] for x in (made, wanted))
    return (a - b).pow(2).mean() / b.pow(2).mean()


def optimisers(w):
    """Muon for the matrices that work at 50 frames a second. The generator behind them knows its task from the beginning."""
    generator = {n for n in w if n.startswith("decoder.model.") and not n.startswith("decoder.model.0.")}
    matrices = {n for n, p in w.items() if n.startswith(("prenet.", "decoder.model.0.")) and p.dim() > 1 and p.numel() > 1000
                and ".dwconv." not in n}
    adam = dict(betas=(0.9, 0.99), weight_decay=0.0)
    return [Muon([w[n] for n in sorted(matrices)], lr=0.01),
            torch.optim.AdamW([w[n] for n in sorted(set(w) - matrices - generator)], lr=2e-3, **adam),
            torch.optim.AdamW([w[n] for n in sorted(generator)], lr=5e-4, **adam)]


def main():
    a = training.options(__doc__, batch=16)
    config = layout.configs()["bicodec"]
    table = {n: s for n, s in layout.bicodec_shapes(config).items()
             if n.startswith(("prenet.", "decoder.", "quantizer.out_project", "speaker_encoder.quantizer.project_out",
                              "speaker_encoder.project."))}
    w = layout.weights(table)
    layout.begin_as_framing(w, config["decoder"])
    w = {n: p.to(a.device).requires_grad_() for n, p in w.items()}
    book = {"quantizer.codebook.weight": torch.tensor(speech.codebook(), device=a.device)}
    run = training.Run(a, w, optimisers(w))
    sounds = Sounds(a.data)
    for share in run.shares():
        tokens, digits, wanted = (t.to(a.device) for t in sounds.batch(run.rng, a.batch))
        d = codec.speaker_vector(w, digits)
        with torch.autocast(a.device, torch.bfloat16):
            x = codec.prenet(w | book, config, tokens, d)
        x = x.float() + d[:, :, None]
        if share < WHOLE_FROM:
            made = codec.samples_of_frames(w, x)
        else:
            n = len(x) // WHOLE_SHARE
            made, wanted = codec.wave_generator(w, config, x[:n]), wanted[:n]
        cut = CONTEXT * speech.HOP
        spectral, wave = spectral_loss(made[:, cut:-cut], wanted), wave_loss(made[:, cut:-cut], wanted)
        run.learn(spectral + wave, list(w.values()), 5.0, spectral=spectral, wave=wave)


if __name__ == "__main__":
    main()
