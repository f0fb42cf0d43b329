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
import passages
import speech
import training
from optimiser import Muon

GUIDED = ((1, 0), (1, 2), (2, 0), (2, 2), (3, 0), (3, 2))   # (layer, head): one of each pair that shares keys
READING, GUIDANCE = 1.0, 0.5                           # weights of their losses
VALIDATED = 12                                         # passages


class Corpus:
    """Every passage as a sequence, on the device; each in one of the two formats, by chance."""

    def __init__(self, paths, device):
        rng, items = np.random.default_rng(0), []
        for p in passages.passages(paths, rng):
            seq, n = lm.sequence(p.text, speech.VOICES[p.labels[0]], p.tokens, p.labels[1:], not p.n_heard and rng.random() < 0.5)
            spoken = np.full(len(seq), -1, np.int16)
            spoken[-2 - len(p.letters):-2] = np.where(p.letters >= 0, lm.TEXT_FROM + p.letters, -1)
            items.append((np.array(seq, np.int16), spoken, n + p.n_heard))
        validation, self.device = len(items) // 100 + 1, device
        items = [x for part in (items[validation:], items[:validation]) for x in sorted(part, key=lambda x: len(x[0]))]
        self.validation = np.arange(len(items) - validation, len(items))
        self.ids, self.spoken = (torch.tensor(np.concatenate([x[k] for x in items] + [np.zeros(8192, np.int16)]), device=device)
                                 for k in (0, 1))
        self.length = np.array([len(x[0]) for x in items])
        places = np.cumsum(self.length) - self.length, self.length, [x[2] for x in items]
        self.places = torch.tensor(np.stack(places), device=device)    # begin, length, prompt

    def batch(self, rng, longest, n_ids):
        """Sequences of like length, up to n_ids ids together."""
        within = np.searchsorted(self.length[:self.validation[0]], longest, side="right")
        some = np.sort(rng.integers(max(within, 1), size=400 + n_ids // 10))
        at = rng.integers(len(some))
        per = max(1, n_ids // self.length[some[at]])
        return self.rows(some[max(0, at + 1 - per):at + 1])

    def rows(self, rows):
        """ids, targets (-1: none), and where among the ids the letter stands that is spoken next (-1: none)."""
        begin, length, prompt = self.places[:, torch.tensor(rows).to(self.device, non_blocking=True), None]
        place = torch.arange(int(self.length[rows].max()) - 1, device=self.device)
        at, real = begin + place, place < length - 1
        target = torch.where(real & (place >= prompt - 1), self.ids[at + 1].long(), -1)
        return torch.where(real, self.ids[at].long(), 0), target, torch.where(real, self.spoken[at].long(), -1)


def loss_of(w, config, embedding, batch, phone_of):
    """Cross-entropy; that of the phone alone, given that another one comes (which is what reading is, and not rhythm or melody);
    how far guided heads look elsewhere. `phone_of`: the phone of each frame token."""
    ids, target, spoken = batch
    embed = embedding.matrix()
    wanted = spoken[:, :, None] == torch.arange(ids.shape[1], device=ids.device)
    hidden, astray = lm.forward(w, config, embed.to(torch.bfloat16), ids, (GUIDED, wanted))
    logits = F.linear(hidden, embed).float().flatten(0, 1)
    ids, target, n = ids.flatten(), target.flatten(), len(phone_of)
    plain = F.cross_entropy(logits, target, ignore_index=-1)
    now, then = (t - lm.SEMANTIC for t in (ids, target))
    frames = (now >= 0) & (now < n) & (then >= 0) & (then < n)
    now, then = (phone_of[t.clamp(0, n - 1)][:, None] for t in (now, then))
    others = logits[:, lm.SEMANTIC:lm.SEMANTIC + n].masked_fill(phone_of == now, -1e4)
    right = others.masked_fill(phone_of != then, -1e4)
    reading = others.logsumexp(1) - right.logsumexp(1)
    return plain, lm.mean_where(reading, frames & (now != then)[:, 0]), astray


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
    corpus = Corpus(a.data, a.device)
    phone_of = torch.tensor(speech.PHONE_OF, device=a.device)

    def losses(batch):
        with torch.autocast(a.device, torch.bfloat16):
            return loss_of(w, config, embedding, batch, phone_of)

    unseen = corpus.validation[len(corpus.validation) * 2 // 3:][:VALIDATED]   # of like length, several sentences
    run.validate = lambda: dict(zip(("unseen_next", "unseen_reading"), losses(corpus.rows(unseen))))
    for share in run.shares():
        batch = corpus.batch(run.rng, 135 * 2 ** (5 * share), a.batch)
        plain, reading, astray = losses(batch)
        run.learn(plain + READING * reading + GUIDANCE * astray, others, 1.0, next=plain, reading=reading, astray=astray,
                  length=batch[0].shape[1])


if __name__ == "__main__":
    main()
