#!/usr/bin/env python3
"""train_lm.py DATA... --out FILE --minutes M: train the language model, text to tokens.

Some heads are taught to look at the letter that is spoken next, which is known (letters.py): without that a small model is
long in learning where in the text it is. Short sentences first: the longest follows the share of M that is spent. DATA: make_data.py.
"""

import numpy as np
import torch
import torch.nn.functional as F

import layout
import lm
import speech
import training
from optimiser import Muon

GUIDED = ((1, 0), (1, 2), (2, 0), (2, 2), (3, 0), (3, 2))   # (layer, head): one of each pair that shares keys
READING, GUIDANCE = 1.0, 0.5                           # weights of their losses


class Corpus:
    def __init__(self, paths):
        self.items = []
        for path in paths:
            z = np.load(path)
            text, tokens, letters, labels = z["text"].tobytes(), z["tokens"], z["letters"], z["labels"]
            ends, token_ends = z["text_end"], z["tokens_end"]
            for i in range(len(ends)):
                a, b = (ends[i - 1], token_ends[i - 1]) if i else (0, 0)
                self.items.append((text[a:ends[i]].decode(), tokens[b:token_ends[i]], letters[b:token_ends[i]], labels[i]))
        self.length = np.array([len(t) + len(x) for t, x, _, _ in self.items])

    def batch(self, rng, longest, n_ids):
        """Sequences of like length, about n_ids ids together: ids, targets (-1: none), and where among the ids the letter stands
        that is spoken next (-1: none)."""
        within = np.flatnonzero(self.length <= longest)
        some = rng.choice(within, min(len(within), 400), replace=False)
        some = some[np.argsort(self.length[some])]
        per = max(1, int(n_ids / (self.length[some].mean() + 45)))
        at = rng.integers(max(1, len(some) - per))
        rows = []
        for k in some[at:at + per]:
            text, tokens, letters, labels = self.items[k]
            seq, n = lm.sequence(text, speech.VOICES[labels[0]], tokens, labels[1:], rng.random() < 0.5)
            rows.append((seq, n, letters))
        shape = len(rows), max(len(seq) for seq, *_ in rows) - 1
        ids, target, spoken = (np.full(shape, fill) for fill in (0, -1, -1))
        for i, (seq, n, letters) in enumerate(rows):
            ids[i, :len(seq) - 1] = seq[:-1]
            target[i, n - 1:len(seq) - 1] = seq[n:]
            frames = slice(len(seq) - 2 - len(letters), len(seq) - 2)   # the ids that each frame follows
            spoken[i, frames] = np.where(letters >= 0, lm.TEXT_FROM + letters, -1)
        return tuple(map(torch.tensor, (ids, target, spoken)))


def loss_of(w, config, embedding, batch, phones):
    """Cross-entropy; that of the phone alone, given that another one comes (which is what reading is, and not rhythm or melody);
    how far guided heads look elsewhere. `phones` [frame tokens, phones]: 1 where a token is of a phone."""
    ids, target, spoken = batch
    embed = embedding.matrix()
    wanted = spoken[:, :, None] == torch.arange(ids.shape[1], device=ids.device)
    hidden, astray = lm.forward(w, config, embed.to(torch.bfloat16), ids, (GUIDED, wanted))
    kept = target >= 0
    logits = F.linear(hidden[kept], embed).float()
    ids, target = ids[kept], target[kept]
    plain = F.cross_entropy(logits, target)
    now, then = (t - lm.SEMANTIC for t in (ids, target))
    frames = (now >= 0) & (now < len(phones)) & (then >= 0) & (then < len(phones))
    now, then = (phones[t.clamp(0, len(phones) - 1)] for t in (now, then))
    other = frames & (now != then).any(1)
    others = logits[other, lm.SEMANTIC:lm.SEMANTIC + len(phones)].masked_fill((now[other] @ phones.t()) > 0, -1e4)
    right = others.masked_fill((then[other] @ phones.t()) == 0, -1e4)
    reading = others.logsumexp(1) - right.logsumexp(1)
    return plain, reading.mean(), astray


def main():
    a = training.options(__doc__, batch=3000)
    config = layout.configs()["llm"]
    w = {n: p.to(a.device).requires_grad_() for n, p in layout.weights(layout.llm_shapes(config)).items()
         if "embed_tokens" not in n}
    embedding = lm.Embedding(config["hidden_size"]).to(a.device)
    named = w | {"embedding." + n: p for n, p in embedding.named_parameters()}
    matrices = [p for p in w.values() if p.dim() == 2]
    others = [p for p in w.values() if p.dim() != 2] + list(embedding.parameters())
    run = training.Run(a, named, [Muon(matrices, lr=0.02),
                                  torch.optim.AdamW(others, lr=3e-3, betas=(0.9, 0.98), weight_decay=0.0)])
    corpus = Corpus(a.data)
    phones = F.one_hot(torch.tensor(speech.PHONE_OF)).float().to(a.device)
    for share in run.shares():
        batch = [t.to(a.device) for t in corpus.batch(run.rng, min(600, 90 + 1500 * share), a.batch)]
        with torch.autocast(a.device, torch.bfloat16):
            plain, reading, astray = loss_of(w, config, embedding, batch, phones)
        run.learn(plain + READING * reading + GUIDANCE * astray, others, 1.0, next=plain, reading=reading, astray=astray,
                  length=batch[0].shape[1])


if __name__ == "__main__":
    main()
