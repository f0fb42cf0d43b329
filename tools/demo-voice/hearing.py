"""What is heard in a sound file: words, as pocketsphinx writes them down; pitch, syllables a second, silence.

Sounds are arrays of 16-bit samples, 16,000 a second. Only the standard library is used, so that tests need no package of Python's.
"""

import array
import operator
import pathlib
import re
import shutil
import statistics
import subprocess
import wave

SAMPLE_RATE, FRAME = 16000, 320
MODELS = pathlib.Path("/usr/share/pocketsphinx/model/en-us")
DICTIONARY = MODELS / "cmudict-en-us.dict"


def missing():
    """Why nothing can be recognised; None where it can."""
    if not shutil.which("pocketsphinx_batch") or not DICTIONARY.exists():
        return "pocketsphinx and pocketsphinx-en-us are not installed"


def samples(path):
    with wave.open(str(path)) as f:
        return array.array("h", f.readframes(f.getnframes()))


# ------------------------------------------------------------------------------------------ words

def recognise(paths, folder):
    """What pocketsphinx hears in each wav file below `folder`, as lists of words; its channel mean is each file's own."""
    control, heard = folder / "control", folder / "heard"
    control.write_text("".join(p.relative_to(folder).with_suffix("").as_posix() + "\n" for p in paths))
    subprocess.run(["pocketsphinx_batch", "-adcin", "yes", "-adchdr", "44", "-cepdir", folder, "-cepext", ".wav", "-ctl", control,
                    "-hmm", MODELS / "en-us", "-lm", MODELS / "en-us.lm.bin", "-dict", DICTIONARY,
                    "-cmn", "batch", "-hyp", heard, "-logfn", "/dev/null"], check=True)
    return [words(re.sub(r"\([^ ]* -?\d+\)$", "", line)) for line in heard.read_text().splitlines()]


def words(text):
    return re.sub("[^a-z' ]", " ", text.lower()).split()


def errors(wanted, heard):
    """Words inserted, left out or replaced (Levenshtein)."""
    row = list(range(len(heard) + 1))
    for i, w in enumerate(wanted, 1):
        last, row[0] = row[0], i
        for j, h in enumerate(heard, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (w != h))
    return row[-1]


# -------------------------------------------------------------------------------- pitch, speed, silence

def pitch_hz(x):
    """Median over voiced stretches of 64 ms, one in 80 ms, by autocorrelation; NaN without any."""
    found = []
    for a in range(0, len(x) - 1024, 1280):
        mean = sum(x[a:a + 1024]) / 1024
        y = [v - mean for v in x[a:a + 1024]]
        power = sum(map(operator.mul, y, y))
        if power < 1024 * 655 ** 2:
            continue
        r = [sum(map(operator.mul, y, y[lag:])) for lag in range(45, 260)]
        best = max(r)
        if best > 0.5 * power:
            found.append(SAMPLE_RATE / (45 + r.index(best)))
    return statistics.median(found) if found else float("nan")


def loud_frames(x):
    return [i for i in range(len(x) // FRAME) if max(map(abs, x[FRAME * i:FRAME * (i + 1)])) > 300]


def inner_silence_seconds(x):
    loud = loud_frames(x)
    return max((b - a - 1 for a, b in zip(loud, loud[1:])), default=0) * FRAME / SAMPLE_RATE


def count_syllables(texts):
    """Vowels of each text's words in the recogniser's dictionary."""
    vowels = re.compile(r" (?:AA|AE|AH|AO|AW|AY|EH|ER|EY|IH|IY|OW|OY|UH|UW)\b")
    lines = (line.split(" ", 1) for line in DICTIONARY.read_text().splitlines())
    count = {word: len(vowels.findall(" " + phones)) for word, phones in lines}
    return [sum(count[w] for w in words(text)) for text in texts]


def syllables_per_second(x, syllables):
    """Between the first and the last loud frame."""
    loud = loud_frames(x)
    return syllables / ((loud[-1] - loud[0] + 1) * FRAME / SAMPLE_RATE) if loud else 0.0
