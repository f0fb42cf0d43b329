"""What the tokens of the demo voice mean, and the speech that belongs to them.

A semantic token is one frame of 20 ms: (phone, part of the phone, pitch step, parity of the frame). All of it is known
from the teacher (teacher.c), so the codebook is fixed by construction and every network is trained on its own, supervised.

Pitch moves in steps of 25 Hz, and pulses sit on a grid of 40 ms, the least common multiple of their periods. Two frames of
equal tokens and even number thus sound alike, to the sample (vocoder.py): a decoder without memory can say them, which it could not with
a free pitch (a convolution of constant tokens repeats with the frame).

A voice is (speaker, base pitch in steps of 25 Hz). Its 32 global tokens are a fixed code of the two.
"""

import dataclasses
import math
import subprocess

import numpy as np

SAMPLE_RATE, HOP = 16000, 320
PITCH_STEP_HZ = 25

PHONES = """pau aa ae ah ao aw ax ay b ch d dh eh er ey f g hh ih iy jh k l m n ng ow oy p r s sh t th uh uw v w y z
zh""".split()
VOICELESS = {"pau", "ch", "f", "hh", "k", "p", "s", "sh", "t", "th"}
N_PARTS, N_LEVELS = 3, 3

# name: gender (0 female, 1 male), mean and deviation of the teacher's pitch in Hz, base pitches in steps from very low to
# very high. The steps fall into the five bins of the published label thresholds.
SPEAKERS = {
    "slt": (0, 166.0, 11.0, (6, 7, 8, 10, 11)),
    "rms": (1, 102.0, 13.0, (3, 4, 5, 6, 7)),
    "awb": (1, 123.0, 13.0, (3, 4, 5, 6, 7)),
}
PITCHES = 5                                            # of a speaker, which follow one another in VOICES
VOICES = [(name, step) for name, (_, _, _, steps) in SPEAKERS.items() for step in steps]


def own_voice(name):
    """The one of a speaker's voices that is at the teacher's own pitch."""
    return name, round(SPEAKERS[name][1] / PITCH_STEP_HZ)


# ------------------------------------------------------------------------------------------ tokens

def _token_table():
    table = [("pau", 0, 1, parity) for parity in (0, 1)]
    for phone in PHONES[1:]:
        levels = (1,) if phone in VOICELESS else range(N_LEVELS)
        table += [(phone, part, level, parity) for part in range(N_PARTS) for level in levels for parity in (0, 1)]
    return table


TOKENS = _token_table()                                # meaning of each semantic token
TOKEN_OF = {meaning: i for i, meaning in enumerate(TOKENS)}
PHONE_OF = np.array([PHONES.index(t[0]) for t in TOKENS])
PART_OF, LEVEL_OF, PARITY_OF = (np.array([t[k] for t in TOKENS]) for k in (1, 2, 3))
CODEBOOK_DIM = 16


def codebook(seed=0):
    """[tokens, 16]: directions for the phone (ten numbers, pushed apart), part (2), level (3), parity (1)."""
    rng = np.random.default_rng(seed)
    phones = rng.normal(size=(len(PHONES), 10))
    for _ in range(500):
        phones /= np.linalg.norm(phones, axis=1, keepdims=True)
        away = phones[:, None] - phones[None]
        distance = (away ** 2).sum(-1, keepdims=True) + 1e-3
        phones += 0.02 * (away / distance ** 2).sum(1) / len(PHONES)
    phones /= np.linalg.norm(phones, axis=1, keepdims=True)
    turn = 2 * np.pi * np.arange(N_PARTS) / N_PARTS
    parts = np.stack([np.cos(turn), np.sin(turn)], 1)
    code = [1.2 * phones[PHONE_OF], 0.7 * parts[PART_OF], 0.6 * np.eye(N_LEVELS)[LEVEL_OF],
            0.5 * (2.0 * PARITY_OF[:, None] - 1)]
    return np.concatenate(code, 1).astype(np.float32)


GLOBAL_LEVELS, N_GLOBAL = (4, 4, 4), 32


def global_digits(voice):
    """[32, 3] digits 0..3 of a voice: a fixed random code of the speaker, moved step by step by the pitch."""
    speaker, step = voice
    rng = np.random.default_rng(7)
    by_speaker = rng.normal(size=(len(SPEAKERS), N_GLOBAL, 3))
    by_pitch = rng.normal(size=(N_GLOBAL, 3))
    x = by_speaker[list(SPEAKERS).index(speaker)] + by_pitch * (step - 6) / 2.5
    return np.clip(np.floor(x * 1.2 + 2), 0, 3).astype(np.int64)


def global_tokens(voice):
    return (global_digits(voice) * 4 ** np.arange(3)).sum(1)


# ------------------------------------------------------------------------------- the teacher's words

@dataclasses.dataclass
class Reading:
    """What a teacher says of one text."""
    job: int
    tokens: np.ndarray       # [frames] int16
    chunks: np.ndarray       # [frames] int16: which piece of the text, between spaces, is spoken; -1 in pauses
    phones: tuple            # one after the other, without pauses
    voiced: np.ndarray       # [4 frames] bool
    mcep: np.ndarray         # [4 frames, 25] float32, without `more` = "track" [.., 0]
    sound: np.ndarray        # [320 frames] int16, without `more` = "sound" [0]
    syllables: int
    speech_seconds: float    # without pauses


STATE = np.dtype([("phone", "S6"), ("part", "i1"), ("stress", "i1"), ("end", "<i4"), ("syllable", "<i4"),
                  ("chunk", "<i4")])
LEADING_PAUSE, TRAILING_PAUSE = 2, 5                   # frames kept


def _levels(speaker, states, f0):
    """Pitch step of each state: its syllable's mean against the speaker's."""
    _, mean, deviation, _ = SPEAKERS[speaker]
    start = np.minimum(np.concatenate([[0], states["end"][:-1]]), len(f0))
    syllable, n = states["syllable"], int(states["syllable"].max()) + 1
    total = np.concatenate([[0.0], np.cumsum(f0)])
    voiced = np.concatenate([[0], np.cumsum(f0 > 0)])
    end = np.minimum(states["end"], len(f0))
    inside = syllable >= 0
    hz = np.bincount(syllable[inside], (total[end] - total[start])[inside], n)
    frames = np.bincount(syllable[inside], (voiced[end] - voiced[start])[inside], n)
    z = np.where(frames > 0, hz / np.maximum(frames, 1) - mean, 0.0) / deviation
    level = (z > -0.7).astype(int) + (z > 0.7)
    return np.where(inside, level[syllable], 1)


def _reading(speaker, job, states, f0, mcep, sound):
    phones = [p.decode() for p in states["phone"]]
    even = [TOKEN_OF["pau", 0, 1, 0] if p == "pau" else TOKEN_OF[p, int(part), 1 if p in VOICELESS else level, 0]
            for p, part, level in zip(phones, states["part"], _levels(speaker, states, f0))]
    n = min(len(f0), int(states["end"][-1])) // 4
    of_frame = np.searchsorted(states["end"], 4 * np.arange(n) + 2, side="right")
    of_frame = np.minimum(of_frame, len(states) - 1)
    speech = np.flatnonzero((states["phone"] != b"pau")[of_frame])
    if not len(speech):
        return None
    first, last = max(0, speech[0] - LEADING_PAUSE), min(n, speech[-1] + 1 + TRAILING_PAUSE)
    tokens = np.array(even)[of_frame[first:last]] + np.arange(last - first) % 2   # odd parity comes next in the table
    fine = slice(4 * first, 4 * last)
    if len(sound):                                     # flite leaves the last 5 ms out
        sound = np.pad(sound, (0, max(0, HOP * n - len(sound))))
    chunks = states["chunk"][of_frame[first:last]]
    said = tuple(p for p, part in zip(phones, states["part"]) if part == 0 and p != "pau")
    return Reading(job, tokens.astype(np.int16), chunks.astype(np.int16), said, f0[fine] > 0, mcep[fine], sound[HOP * first:HOP * last],
                   len(set(states["syllable"]) - {-1}), len(speech) * HOP / SAMPLE_RATE)


def listen(program, jobs, more="none"):
    """Yield a Reading for each job (speaker, stretch, text), where the teacher could say it. `more`: "track", "sound" (teacher.c)."""
    lines = "".join(f"{i}\t{s}\t{stretch:.3f}\t{more}\t{text}\n" for i, (s, stretch, text) in enumerate(jobs))
    out = subprocess.run([program], input=lines.encode(), stdout=subprocess.PIPE, check=True).stdout
    at = 0

    def take(dtype, *shape):
        nonlocal at
        x = np.frombuffer(out, dtype, int(np.prod(shape)), at).reshape(shape)
        at += x.nbytes
        return x

    while at < len(out):
        job, n_states, n_frames, n_channels, n_samples = take("<i4", 5)
        reading = _reading(jobs[job][0], int(job), take(STATE, n_states), take("<f4", n_frames), take("<f4", n_frames, n_channels),
                           take("<i2", n_samples))
        if reading:
            yield reading


# ------------------------------------------------------------------------------------------- labels

LABEL_MEL = {0: (224.325, 257.532, 313.213, 352.569), 1: (144.275, 163.172, 211.044, 249.549)}
LABEL_SYLLABLES = (2.553, 3.306, 4.72, 5.464)


def mel(hz):
    return 2595 * math.log10(1 + hz / 700)


def attributes(voice, reading):
    """gender, pitch label, speed label, pitch value, speed value: computed as the published training data's were."""
    speaker, step = voice
    gender = SPEAKERS[speaker][0]
    sounding = ~np.isin(np.array(PHONES)[PHONE_OF[reading.tokens]], list(VOICELESS))
    steps = step + LEVEL_OF[reading.tokens][sounding] - 1
    pitch = mel(PITCH_STEP_HZ * (steps.mean() if len(steps) else step))
    speed = min(10.0, reading.syllables / reading.speech_seconds)
    return (gender, int(np.searchsorted(LABEL_MEL[gender], pitch, side="right")),
            int(np.searchsorted(LABEL_SYLLABLES, speed, side="right")), int(pitch), int(speed))
