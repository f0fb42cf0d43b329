#!/usr/bin/env python3
"""train_encoder.py DATA... --out FILE --minutes M: train recording -> tokens, semantic (wav2vec2, encoder) and global (speaker encoder).

Both are supervised: the token of every frame and the voice of every sentence are known. DATA: make_data.py --more track, and
--more sound; by turns they hear what decoder and teacher sound like.
"""

import numpy as np
import torch
import torch.nn.functional as F

import codec
import layout
import speech
import training
import vocoder

VOICE_EVERY = 4                                        # steps of each kind: the speaker encoder learns in a few hundred
CLIP = 125                                             # frames
SHARPNESS = 16.0                                       # of the cosines in the cross-entropy


def normalise_volume(x, target=0.2):
    """What the engine does to a recording: the loud tenth of its samples, without the loudest hundredth, to `target`. [B, N]."""
    loudest = x.abs().amax(1, keepdim=True)
    x = torch.where(loudest < 0.1, x * 0.1 / loudest.clamp(min=1e-3), x)
    loud = x.abs().sort(1).values
    n = loud.shape[1]
    heard = (loud > 0.01).sum(1, keepdim=True)
    first, end = (n - heard + (share * heard).long() for share in (0.9, 0.99))
    place = torch.arange(n, device=x.device)
    middle = (loud * ((place >= first) & (place < end))).sum(1, keepdim=True) / (end - first).clamp(min=1)
    x = torch.where(heard > 10, x * (target / middle.clamp(min=1e-6)).clamp(0.1, 10.0), x)
    return x / x.abs().amax(1, keepdim=True).clamp(min=1.0)


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
    filters = codec.mel_filters(mel).to(a.device)
    own = [path for path in a.data if "sound" in np.load(path)]
    kinds = [vocoder.Readings([path for path in a.data if path not in own], a.device, CLIP), vocoder.Recordings(own, a.device, CLIP)]
    for _ in run.shares():
        kind = run.step % len(kinds)
        tokens, digits, sound = kinds[kind].batch(a.batch)
        sound = normalise_volume(sound)
        sound = sound + torch.randn_like(sound) * 10 ** (-2.5 - 2 * torch.rand(len(sound), 1, device=a.device))
        z = F.normalize(codec.encode(w, config["bicodec"], codec.wav2vec2(v, config["wav2vec2"], sound)), dim=2)
        cosine = z @ book.t()
        tokens = tokens[:, :z.shape[1]]
        right = torch.stack([tokens, tokens ^ 1][:1 + kind], 2)   # parity is in rendered sound alone; its two are neighbours in the table
        logits = SHARPNESS * cosine
        loss = (logits.logsumexp(2) - logits.gather(2, right).logsumexp(2)).mean()
        figures = {f"words{kind}": loss, f"right{kind}": (cosine.argmax(2)[..., None] == right).any(2).float().mean()}
        if run.step // len(kinds) % VOICE_EVERY == 0:
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
