"""What the language model reads in training: sentences alone, and several joined as one who reads on.

Sentences are joined that have one voice and speed, to texts as long as the engine asks for at once (docs/text.md, by the model's room
for tokens). In some the first ones are what a recording has, heard by the encoder with its mistakes: these are continued.
"""

import collections

import numpy as np

import speech

MOST = 4                                               # sentences
LONGEST = 900                                          # letters and frames: more than there are of `positions` in use
ALONE, CLAUSES, CONTINUED = 0.3, 0.35, 0.35            # shares: of passages, of joints that are commas, of joined passages
REST = 6                                               # frames of silence more where a sentence ends
MISHEARD = 0.4                                         # of frames, at most
PAUSE = speech.TOKEN_OF["pau", 0, 1, 0]

Passage = collections.namedtuple("Passage", "text tokens letters labels n_heard")


def readings(paths):
    """Yield (text, tokens, letters, labels) of every sentence that make_data.py wrote; labels: voice, then speech.attributes."""
    for path in paths:
        z = np.load(path)
        text, tokens, letters = z["text"].tobytes(), z["tokens"], z["letters"]
        a = b = 0
        for end, token_end, labels in zip(z["text_end"], z["tokens_end"], z["labels"]):
            yield text[a:end].decode(), tokens[b:token_end], letters[b:token_end], labels
            a, b = end, token_end


def join(sentences, rng):
    """(text, tokens, letters) of (text, tokens, letters, ...) each, and the place among the tokens where each one ends. Parity goes on
    from frame to frame: where a sentence begins at an odd one, its tokens are their neighbours in the table."""
    text, tokens, letters = sentences[0][:3]
    ends = [len(tokens)]
    for more, then, of, *_ in sentences[1:]:
        n = REST
        if rng.random() < CLAUSES:
            text, more, n = text[:-1] + ",", more[0].lower() + more[1:], 0
        rest = PAUSE + (len(tokens) + np.arange(n)) % 2
        tokens = np.concatenate([tokens, rest, then ^ (len(tokens) + n) % 2])
        letters = np.concatenate([letters, np.full(n, -1), np.where(of >= 0, of + len(text) + 1, -1)])
        text += " " + more
        ends.append(len(tokens))
    return text, tokens, letters, ends


def misheard(tokens, rng):
    """As the encoder may hear them: frames that are their neighbours', or anything, at any pitch; parity is guessed at."""
    n, wrong = len(tokens), rng.random(len(tokens)) < rng.random() * MISHEARD
    moved = tokens[np.clip(np.arange(n) + rng.integers(-2, 3, n), 0, n - 1)]
    heard = np.where(wrong, np.where(rng.random(n) < 0.3, rng.integers(len(speech.TOKENS), size=n), moved), tokens)
    flat = rng.random(n) < rng.random()
    heard = np.where(flat & (speech.LEVEL_OF[heard] != 1), heard + 2 * (1 - speech.LEVEL_OF[heard]), heard)
    return heard ^ (rng.integers(2, size=n) if rng.random() < 0.7 else 0)


def _passage(sentences, rng):
    """As it was spoken; or, sometimes, the first sentences as a recording of them was heard, cut off in the pause behind them."""
    text, tokens, letters, ends = join(sentences, rng)
    labels, n_heard = sentences[0][3], 0
    if len(sentences) > 1 and rng.random() < CONTINUED:
        end = ends[rng.integers(len(ends) - 1)]
        n_heard = end - 2 * rng.integers(speech.TRAILING_PAUSE // 2 + 1)   # two frames: parity goes on
        tokens = np.concatenate([misheard(tokens[:n_heard], rng), tokens[end:]])
        letters = np.concatenate([letters[:n_heard], letters[end:]])
    return Passage(text, tokens, letters, labels, n_heard)


def passages(paths, rng):
    """Yield every sentence in a passage, but for the last few."""
    waiting = collections.defaultdict(list)            # by voice and speed
    wanted = collections.defaultdict(lambda: 1)
    for sentence in readings(paths):
        key = sentence[3][0], sentence[3][3]
        length = sum(len(text) + len(tokens) + REST + 1 for text, tokens, *_ in (*waiting[key], sentence))
        if waiting[key] and (len(waiting[key]) == wanted[key] or length > LONGEST):
            yield _passage(waiting[key], rng)
            waiting[key] = []
            wanted[key] = 1 if rng.random() < ALONE else rng.integers(2, MOST + 1)
        waiting[key].append(sentence)
