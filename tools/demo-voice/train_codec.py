#!/usr/bin/env python3
"""train_codec.py DATA... --out FILE --minutes M: train tokens -> sound (prenet, wave generator, d-vector).

The sound that belongs to tokens is known to the sample where it is voiced, so beside the spectral losses the waveform itself
is a target. A throw-away linear layer reads the mel spectrogram from the prenet's output: that teaches the prenet the phones,
on more frames than the wave generator could afford. DATA: make_data.py --sound.
"""

import numpy as np
import torch

import codec
import layout
import speech
import training
from optimiser import Muon

CONTEXT, CROP, MARGIN = 12, 32, 3                      # frames: either side for the prenet, of sound, of it without loss
READ = 2                                               # crops read for one that is rendered
RESOLUTIONS = ((2048, 512), (1024, 256), (512, 128), (128, 32))


def log_mel(sound, n_mels=80):
    """[frames, n_mels] of int16 samples; a frame's window is around its middle."""
    filters = codec.mel_filters(dict(layout.MEL, num_mels=n_mels, n_fft=512))
    window, out = torch.hann_window(512), []
    for x in torch.tensor(sound).split(speech.HOP * 3000):
        x = torch.nn.functional.pad(x.float() / 32767, (96, 96))
        spectrum = torch.stft(x, 512, speech.HOP, 512, window, center=False, return_complex=True).abs()
        out.append(torch.log(filters @ spectrum + 1e-3).t())
    return torch.cat(out).numpy()


class Sounds:
    def __init__(self, paths):
        zs = [np.load(p) for p in paths]
        self.tokens = np.concatenate([z["tokens"] for z in zs])
        self.sound = np.concatenate([z["sound"] for z in zs])
        length = np.concatenate([np.diff(z["tokens_end"], prepend=0) for z in zs])
        self.end = np.cumsum(length)
        self.voice = np.repeat(np.concatenate([z["labels"][:, 0] for z in zs]), length)
        self.sentence = np.repeat(np.arange(len(length)), length)
        self.mel = np.concatenate([log_mel(z["sound"]) for z in zs])
        self.digits = np.stack([speech.global_digits(v) for v in speech.VOICES])

    def batch(self, rng, n):
        """tokens [n, CROP + 2 CONTEXT], digits [n, 32, 3], mel [n, CROP + 2 CONTEXT, 80], sound [n, samples of CROP]; each
        inside one sentence."""
        size, begins = CROP + 2 * CONTEXT, []
        while len(begins) < n:
            a = int(rng.integers(len(self.tokens) - size))
            if self.sentence[a] == self.sentence[a + size - 1]:
                begins.append(a)
        at = np.array(begins)[:, None] + np.arange(size)
        sound = self.sound.reshape(-1, speech.HOP)[at[:, CONTEXT:-CONTEXT]].reshape(n, -1)
        return (torch.tensor(self.tokens[at].astype(int)), torch.tensor(self.digits[self.voice[begins]]),
                torch.tensor(self.mel[at]), torch.tensor(sound.astype(np.float32) / 32767))


def spectral_loss(made, wanted):
    total = 0.0
    for n_fft, hop in RESOLUTIONS:
        window = torch.hann_window(n_fft, device=made.device)
        a, b = (torch.stft(x, n_fft, hop, n_fft, window, center=True, pad_mode="reflect", return_complex=True).abs()
                for x in (made, wanted))
        total = total + (a - b).abs().mean() / b.mean() + (torch.log(a + 1e-2) - torch.log(b + 1e-2)).abs().mean()
    return total / len(RESOLUTIONS)


def optimisers(w, reader):
    matrices = [p for n, p in w.items() if n.startswith(("prenet.", "decoder.")) and p.dim() > 1 and p.numel() > 1000
                and ".dwconv." not in n]
    chosen = {id(p) for p in matrices}
    others = [p for p in w.values() if id(p) not in chosen] + list(reader.values())
    return [Muon(matrices, lr=0.01), torch.optim.AdamW(others, lr=2e-3, betas=(0.8, 0.99), weight_decay=0.0)]


def main():
    a = training.options(__doc__, batch=8)
    config = layout.configs()["bicodec"]
    table = {n: s for n, s in layout.bicodec_shapes(config).items()
             if n.startswith(("prenet.", "decoder.", "quantizer.out_project", "speaker_encoder.quantizer.project_out",
                              "speaker_encoder.project."))}
    w = {n: p.to(a.device).requires_grad_() for n, p in layout.weights(table).items()}
    book = {"quantizer.codebook.weight": torch.tensor(speech.codebook(), device=a.device)}
    reader = {"auxiliary." + n: p.to(a.device).requires_grad_() for n, p in
              layout.weights({"weight": (80, config["prenet"]["out_channels"]), "bias": (80,)}).items()}
    run = training.Run(a, w | reader, optimisers(w, reader))
    sounds = Sounds(a.data)
    for _ in run.shares():
        tokens, digits, mel, wanted = (t.to(a.device) for t in sounds.batch(run.rng, READ * a.batch))
        with torch.autocast("cuda", torch.bfloat16, enabled=a.device == "cuda"):   # no gain on a processor
            d = codec.speaker_vector(w, digits)
            x = codec.prenet(w | book, config, tokens, d) + d[:, :, None]
            read = codec.linear(reader, "auxiliary.", x.transpose(1, 2))
            made = codec.wave_generator(w, config, x[:a.batch, :, CONTEXT:-CONTEXT])
        cut = MARGIN * speech.HOP
        made, wanted = made.float()[:, cut:-cut], wanted[:a.batch, cut:-cut]
        spectral = spectral_loss(made, wanted)
        wave = (made - wanted).pow(2).mean() / wanted.pow(2).mean()
        phones = (read.float() - mel).abs().mean()
        run.learn(spectral + 2 * wave + phones, list(w.values()), 5.0, spectral=spectral, wave=wave, mel=phones)


if __name__ == "__main__":
    main()
