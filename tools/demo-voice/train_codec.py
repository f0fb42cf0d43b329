#!/usr/bin/env python3
"""train_codec.py DATA... --out FILE --minutes M: train tokens -> sound (prenet, wave generator, d-vector).

The sound that belongs to tokens is known to the sample, so the waveform itself is a target beside its spectra. For half of
the time the wave generator is what it begins as, the inverse of framing, and only what works at 50 frames a second is
computed; then all of it learns. DATA: make_data.py --more track.
"""

import torch

import codec
import layout
import speech
import training
import vocoder
from optimiser import Muon

CONTEXT, CROP = 16, 96                                 # frames: without loss at a side where speech goes on, of a crop
CUTS = {"middle": slice(CONTEXT, -CONTEXT), "begin": slice(0, -CONTEXT), "end": slice(CONTEXT, None)}
WHOLE_FROM, WHOLE_SHARE = 0.5, 4                       # of the time: then the wave generator learns too, from a part of the crops
RESOLUTIONS = ((1024, 256), (512, 128), (256, 64), (128, 32))
EMPHASIS = 0.9                                         # of high frequencies in the waveform's loss


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
    readings = vocoder.Readings(a.data[:-1] or a.data, a.device, CROP)
    unseen = vocoder.Readings(a.data[-1:], a.device, CROP)

    def losses(share, place, readings=readings):
        """In sentences' middles, begins and ends by turns: what is beyond an end is nothing, for the engine too."""
        whole, cut = share >= WHOLE_FROM, CUTS[place]
        tokens, digits, wanted = readings.batch(a.batch // WHOLE_SHARE if whole else a.batch, place)
        d = codec.speaker_vector(w, digits)
        with torch.autocast(a.device, torch.bfloat16):
            x = codec.prenet(w | book, config, tokens, d)
        x = x.float() + d[:, :, None]
        made = codec.wave_generator(w, config, x) if whole else codec.samples_of_frames(w, x)
        made, wanted = (x.unflatten(1, (CROP, speech.HOP))[:, cut].flatten(1) for x in (made, wanted))
        return spectral_loss(made, wanted), wave_loss(made, wanted)

    for share in run.shares():
        run.validate = lambda: dict(unseen_spectral=losses(share, "middle", unseen)[0])
        place = list(CUTS)[run.step % len(CUTS)]
        spectral, wave = losses(share, place)
        run.learn(spectral + wave, list(w.values()), 5.0, spectral=spectral, wave=wave)


if __name__ == "__main__":
    main()
