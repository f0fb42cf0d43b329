#!/usr/bin/env python3
"""train_lm.py DATA... --out FILE --minutes M: train the language model, text to tokens.

Short sentences first: the longest follows the share of M that is spent. DATA: make_data.py.
"""

import numpy as np
import torch
import torch.nn.functional as F

import layout
import lm
import speech
import training
from optimiser import Muon


class Corpus:
    def __init__(self, paths):
        self.items = []
        for path in paths:
            z = np.load(path)
            text, tokens, labels = z["text"].tobytes(), z["tokens"], z["labels"]
            ends, token_ends = z["text_end"], z["tokens_end"]
            for i in range(len(ends)):
                a, b = (ends[i - 1], token_ends[i - 1]) if i else (0, 0)
                self.items.append((text[a:ends[i]].decode(), tokens[b:token_ends[i]], labels[i]))
        self.length = np.array([len(t) + len(x) for t, x, _ in self.items])

    def batch(self, rng, longest, n_ids):
        """Sequences of like length, about n_ids ids together."""
        within = np.flatnonzero(self.length <= longest)
        some = rng.choice(within, min(len(within), 400), replace=False)
        some = some[np.argsort(self.length[some])]
        per = max(1, int(n_ids / (self.length[some].mean() + 45)))
        at = rng.integers(max(1, len(some) - per))
        ids, prompts = [], []
        for k in some[at:at + per]:
            text, tokens, labels = self.items[k]
            seq, n = lm.sequence(text, speech.VOICES[labels[0]], tokens, labels[1:], rng.random() < 0.5)
            ids.append(seq)
            prompts.append(n)
        size = max(map(len, ids))
        out = np.full((len(ids), size), -1)
        for row, seq in zip(out, ids):
            row[:len(seq)] = seq
        target = out[:, 1:].copy()
        for row, n in zip(target, prompts):
            row[:n - 1] = -1
        return torch.tensor(np.maximum(out[:, :-1], 0)), torch.tensor(target)


def loss_of(w, config, embedding, ids, target, stay):
    """Cross-entropy, and that of what comes next given that something else comes (which is what reading is)."""
    embed = embedding.matrix()
    hidden = lm.forward(w, config, embed.to(torch.bfloat16), ids)
    kept = target >= 0
    logits = F.linear(hidden[kept], embed).float()
    wanted = target[kept]
    plain = F.cross_entropy(logits, wanted)
    same = stay[ids[kept]]
    changed = (same >= 0) & (wanted != same)
    others = logits[changed].scatter(1, same[changed][:, None], -1e4)
    change = F.cross_entropy(others, wanted[changed])
    return plain, change


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
    corpus, stay = Corpus(a.data), lm.stay().to(a.device)
    for share in run.shares():
        ids, target = corpus.batch(run.rng, min(600, 90 + 1500 * share), a.batch)
        with torch.autocast(a.device, torch.bfloat16):
            plain, change = loss_of(w, config, embedding, ids.to(a.device), target.to(a.device), stay)
        run.learn(plain + change, others, 1.0, next=plain, change=change, length=ids.shape[1])


if __name__ == "__main__":
    main()
