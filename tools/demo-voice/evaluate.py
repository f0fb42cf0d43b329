#!/usr/bin/env python3
"""evaluate.py MODEL [--sparkmill PROGRAM] [--precision P] [--n N]: what the engine says with a demo voice, measured.

Speaks the held-out sentences in created voices, female and male by turns, and lets pocketsphinx (Debian packages
pocketsphinx, pocketsphinx-en-us) write them down. Prints each sentence, then the word error rate, how many ended by
themselves, the longest inner silence, and mean pitch and speed for each label. Exit status 77 where pocketsphinx is missing.
"""

import argparse
import array
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import wave

import sentences

LABELS = ("very_low", "low", "moderate", "high", "very_high")


def samples(path):
    with wave.open(str(path)) as f:
        return array.array("h", f.readframes(f.getnframes()))


def load(path):
    import numpy as np                                 # only where pitch is measured: tests do without
    return np.array(samples(path), np.float64) / 32768


MODELS = pathlib.Path("/usr/share/pocketsphinx/model/en-us")


def recognise(paths, folder):
    """What pocketsphinx hears in each wav file of `folder`, as lists of words; its channel mean is each file's own."""
    control, heard = folder / "control", folder / "heard"
    control.write_text("".join(p.relative_to(folder).with_suffix("").as_posix() + "\n" for p in paths))
    subprocess.run(["pocketsphinx_batch", "-adcin", "yes", "-adchdr", "44", "-cepdir", folder, "-cepext", ".wav", "-ctl", control,
                    "-hmm", MODELS / "en-us", "-lm", MODELS / "en-us.lm.bin", "-dict", MODELS / "cmudict-en-us.dict",
                    "-cmn", "batch", "-hyp", heard, "-logfn", "/dev/null"], check=True)
    return [re.sub(r"\([^ ]* -?\d+\)$", "", line).split() for line in heard.read_text().splitlines()]


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


def pitch_hz(x):
    """Median over the voiced frames, by autocorrelation; NaN without any."""
    import numpy as np
    found = []
    for a in range(0, len(x) - 1024, 320):
        y = x[a:a + 1024] - x[a:a + 1024].mean()
        if y.std() < 0.02:
            continue
        r = np.fft.irfft(np.abs(np.fft.rfft(y, 4096)) ** 2)[:260]
        lag = 45 + int(r[45:].argmax())
        if r[lag] > 0.5 * r[0]:
            found.append(16000 / lag)
    return float(np.median(found)) if found else float("nan")


def inner_silence_seconds(x):
    loud = [i for i in range(len(x) // 320) if max(map(abs, x[320 * i:320 * i + 320])) > 300]
    return max((b - a - 1 for a, b in zip(loud, loud[1:])), default=0) * 0.02


def speak(a, jobs, folder):
    """Run the engine over jobs; the path of each one's sound, or None."""
    lines = folder / "jobs.jsonl"
    lines.write_text("".join(json.dumps(j) + "\n" for j in jobs))
    subprocess.run([a.sparkmill, "batch", str(lines), "--model", str(a.model), "-o", str(folder / "out"), "--no-cache",
                    "--precision", a.precision, "--devices", "cpu"], check=False, stderr=subprocess.DEVNULL)
    return [p if (p := folder / "out" / f"{j['id']}.wav").exists() else None for j in jobs]


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("model", type=pathlib.Path)
    a.add_argument("--sparkmill", default="build/release/bin/sparkmill")
    a.add_argument("--precision", default="bf16")
    a.add_argument("--n", type=int, default=60, help="sentences")
    a.add_argument("--temperature", type=float, default=0.8)
    a.add_argument("--labels", action="store_true", help="also pitch and speed for each label")
    a.add_argument("--limit", type=float, help="exit status 1 above this word error rate, or where one does not end or falls silent")
    a = a.parse_args()
    if not shutil.which("pocketsphinx_batch") or not MODELS.exists():
        print("pocketsphinx and pocketsphinx-en-us are not installed: nothing was recognised")
        return 77
    texts = sentences.held_out()[:a.n]
    common = dict(temperature=a.temperature, max_seconds=15, redraws=0)
    jobs = [dict(common, id=f"s{i}", text=t, gender=("female", "male")[i % 2], pitch="moderate", speed="moderate", seed=i)
            for i, t in enumerate(texts)]
    if a.labels:
        jobs += [dict(common, id=f"l-{g}-{kind}-{label}-{i}", text=t, gender=g, seed=i,
                      **{"pitch": "moderate", "speed": "moderate", kind: label})
                 for g in ("female", "male") for kind in ("pitch", "speed") for label in LABELS
                 for i, t in enumerate(texts[:4])]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        paths = dict(zip((j["id"] for j in jobs), speak(a, jobs, folder)))
        spoken = [p for i in range(len(texts)) if (p := paths[f"s{i}"])]
        heard_in = dict(zip(spoken, recognise(spoken, folder)))
        wrong = total = ended = 0
        silence = 0.0
        for i, text in enumerate(texts):
            wanted, path = words(text), paths[f"s{i}"]
            x = samples(path) if path else []
            heard = words(" ".join(heard_in.get(path, ())))
            n = errors(wanted, heard)
            wrong, total, ended = wrong + n, total + len(wanted), ended + (0 < len(x) < 14.9 * 16000)
            silence = max(silence, inner_silence_seconds(x))
            print(f"{n:2d}/{len(wanted):2d} {len(x) / 16000:4.1f} s  {text}  ->  {' '.join(heard)}")
        print(f"word error rate {100 * wrong / total:.1f} %, {ended} of {len(texts)} ended, "
              f"longest inner silence {silence:.2f} s")
        for kind in ("pitch", "speed") if a.labels else ():
            for g in ("female", "male"):
                row = []
                for label in LABELS:
                    sounds = [load(p) for i in range(4) if (p := paths[f"l-{g}-{kind}-{label}-{i}"])]
                    row.append(sum(pitch_hz(x) if kind == "pitch" else len(x) / 16000 for x in sounds) / len(sounds))
                print(g, kind, "Hz" if kind == "pitch" else "s", " ".join(f"{v:.1f}" for v in row))
    missed = a.limit is not None and (100 * wrong > a.limit * total or ended < len(texts) or silence > 1)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
