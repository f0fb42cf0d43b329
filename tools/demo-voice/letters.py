#!/usr/bin/env python3
"""letters.py KIT: learn which phones each letter says, from the teacher's reading of the word lists; writes letters.txt here.

A letter says none, one or two phones. Which, in a given word, is the likeliest way to share its phones out among its letters by
the counts of letters.txt, which expectation maximisation over all words made. Training tells the language model with this which
letter a frame speaks.
"""

import collections
import functools
import pathlib
import sys

import numpy as np

import speech

FILE = pathlib.Path(__file__).parent / "letters.txt"
ROUNDS = 6


def align(letters, phones, cost):
    """The likeliest way to share phones out: (first, end) for each letter; None when there is none."""
    n, m = len(letters), len(phones)
    best = {(0, 0): (0.0, None)}
    for i in range(n):
        for j in range(m + 1):
            if (i, j) not in best:
                continue
            for k in range(min(3, m - j + 1)):
                c = best[i, j][0] + cost(letters[i], phones[j:j + k])
                if (i + 1, j + k) not in best or c < best[i + 1, j + k][0]:
                    best[i + 1, j + k] = c, j
    if (n, m) not in best:
        return None
    out, j = [], m
    for i in range(n, 0, -1):
        k = best[i, j][1]
        out.append((k, j))
        j = k
    return out[::-1]


def cost_of(counts):
    totals = collections.Counter()
    for (letter, _), n in counts.items():
        totals[letter] += n
    return lambda letter, phones: -np.log((counts[letter, phones] + 0.1) / (totals[letter] + 100.0))


def learn(said):
    """Counts of (letter, phones) from {word: phones}."""
    counts = collections.Counter()
    for word, phones in said.items():                  # before the first round: whatever stands at about the same place
        for i, letter in enumerate(word):
            at = i * len(phones) // len(word)
            for phone in phones[max(0, at - 1):at + 2]:
                counts[letter, (phone,)] += 1
    for _ in range(ROUNDS):
        cost = cost_of(counts)
        aligned = {w: a for w, phones in said.items() if (a := align(w, phones, cost))}
        counts = collections.Counter((letter, said[w][j:k]) for w, a in aligned.items() for letter, (j, k) in zip(w, a))
    return counts


@functools.cache
def _known_cost():
    rows = (line.split("\t") for line in FILE.read_text().splitlines())
    return cost_of(collections.Counter({(letter, tuple(phones.split())): int(n) for letter, phones, n in rows}))


@functools.lru_cache(maxsize=1 << 17)
def _letters_of_phones(word, phones):
    """For each phone the index of its letter in the word, or None."""
    letters = [i for i, c in enumerate(word) if "a" <= c <= "z"]
    spans = align([word[i] for i in letters], phones, _known_cost()) if len(letters) > len(phones) // 2 else None
    return spans and np.repeat(letters, [k - j for j, k in spans])


def spoken(text, tokens, chunks):
    """For each frame the index of the letter of the text that it speaks, -1 where that is not known (pauses, numbers)."""
    out = np.full(len(tokens), -1, np.int16)
    words = text.lower().split(" ")
    starts = np.cumsum([0] + [len(w) + 1 for w in words])
    phones, parts = speech.PHONE_OF[tokens], speech.PART_OF[tokens]
    begins = np.flatnonzero(np.diff(chunks, prepend=-1) != 0)
    for a, b in zip(begins, [*begins[1:], len(tokens)]):
        if chunks[a] < 0:
            continue
        new = np.ones(b - a, bool)                     # another phone, or the same once more
        new[1:] = (phones[a + 1:b] != phones[a:b - 1]) | (parts[a + 1:b] < parts[a:b - 1])
        said = tuple(speech.PHONES[p] for p in phones[a:b][new])
        letters = _letters_of_phones(words[chunks[a]], said)
        if letters is not None:
            out[a:b] = starts[chunks[a]] + letters[np.cumsum(new) - 1]
    return out


def main():
    kit = pathlib.Path(sys.argv[1])
    words = sorted({w for path in kit.glob("words*.txt") for w in path.read_text().split()})
    said = {words[r.job]: r.phones for r in speech.listen(kit / "teacher", [("rms", 1.0, w) for w in words])}
    counts = learn(said)
    FILE.write_text("".join(f"{letter}\t{' '.join(phones)}\t{n}\n" for (letter, phones), n in sorted(counts.items()) if n > 2))


if __name__ == "__main__":
    main()
