#!/usr/bin/env python3
"""evaluate.py MODEL [--part PART]...: what the engine says with a demo voice, measured, and held against what is wanted.

  words    error rate on the held-out sentences in each precision, voices created, female and male
  passages error rate where four sentences are spoken at once
  continued  error rate where the teacher's recording of a sentence is continued with the next one
  ends     200 sentences in all kinds of voices end by themselves, without long silences
  labels   pitch and speed follow their labels, and the sexes differ
  same     streamed is the whole, bit for bit; on the emulator the same is heard
  clones   100 recordings by the teacher become its own voice, and not another's (cosine of d-vectors)

Without --part all of them: the figures of a model card, in minutes. Needs the Debian packages pocketsphinx, pocketsphinx-en-us
and flite; exit status 77 where they are missing, 1 where something is not as wanted.
"""

import argparse
import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import hearing
import sentences

CPU = "cpu:1"                                          # bits are those of any number of threads; beside other work it is faster
PRECISIONS = ("fp32", "bf16", "int8")
USUAL = "int8"                                         # what a processor takes by itself
GENDERS = ("female", "male")
LABELS = ("very_low", "low", "moderate", "high", "very_high")
SPEAKERS = dict(line.split(" ", 1) for line in pathlib.Path(__file__).with_name("speakers.txt").read_text().splitlines())
NAMES = list(SPEAKERS)


class Evaluation:
    """A model, the program that speaks with it, a folder for what is made, and what was found."""

    def __init__(self, a, folder):
        self.program, self.model, self.folder = str(pathlib.Path(a.sparkmill).resolve()), str(a.model.resolve()), folder
        self.short, self.limit, self.temperature = a.short, a.limit, a.temperature
        self.batches, self.verdicts = 0, []

    def verdict(self, good, what):
        self.verdicts.append((good, what))

    def run(self, *arguments, statuses=(0,)):
        """Standard output of the program."""
        done = subprocess.run([self.program, *arguments, "--model", self.model], cwd=self.folder, capture_output=True)
        if done.returncode not in statuses:
            sys.exit(done.stderr.decode())
        return done.stdout

    def speak(self, jobs, precision, devices=CPU):
        """What `batch` says of each job, by its id, and with its `sound`: no samples where it failed."""
        self.batches += 1
        lines, out = self.folder / "jobs.jsonl", self.folder / f"batch{self.batches}"
        common = dict(temperature=self.temperature, max_seconds=15)
        lines.write_text("".join(json.dumps(common | job) + "\n" for job in jobs))
        self.run("batch", lines, "-o", out, "--no-cache", "--precision", precision, "--devices", devices, statuses=(0, 1))
        results = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
        for r in results:
            r["path"] = out / r["file"] if r["status"] == "done" else None
            r["sound"] = hearing.samples(r["path"]) if r["path"] else []
            r["ended"] = r.get("end") == "complete"
        return {r["id"]: r for r in results}

    def recognise(self, results):
        """Adds what is `heard` to each of them."""
        spoken = [r for r in results if r["path"]]
        for r in results:
            r["heard"] = []
        for r, heard in zip(spoken, hearing.recognise([r["path"] for r in spoken], self.folder)):
            r["heard"] = heard


def moderate(gender, **more):
    return dict(gender=gender, pitch="moderate", speed="moderate") | more


def voice_of(i):
    return GENDERS[i % len(GENDERS)]


# ------------------------------------------------------------------------------------------ parts

def count(r, text, precision):
    """(wrong words, words) of what is heard of a text; prints both."""
    wanted = hearing.words(text)
    n = hearing.errors(wanted, r["heard"])
    print(f"{precision} {n:2d}/{len(wanted):2d} {len(r['sound']) / 16000:4.1f} s  {text}  ->  {' '.join(r['heard'])}")
    return n, len(wanted)


def words(e):
    texts = sentences.held_out()
    wrong, total = {}, {}                              # by (precision, gender)
    for k, precision in enumerate(PRECISIONS):
        of_precision = [i for i in range(len(texts)) if not e.short or i % len(PRECISIONS) == k]
        spoken = [(i, g) for i in of_precision for g in ((voice_of(i),) if e.short else GENDERS)]
        found = e.speak([moderate(g, id=f"{g}{i}", text=texts[i], seed=i, redraws=0) for i, g in spoken], precision)
        e.recognise(list(found.values()))
        for i, g in spoken:
            n, of = count(found[f"{g}{i}"], texts[i], precision)
            wrong[precision, g], total[precision, g] = wrong.get((precision, g), 0) + n, total.get((precision, g), 0) + of
        ended = sum(r["ended"] for r in found.values())
        silence = max(hearing.inner_silence_seconds(r["sound"]) for r in found.values())
        e.verdict(ended == len(found) and silence <= 1, f"{precision}: {ended} of {len(found)} ended by themselves at the first "
                  f"attempt, longest inner silence {silence:.2f} s")

    def percent(*keys):
        return 100 * sum(wrong[k] for k in keys) / sum(total[k] for k in keys)

    rates = [percent(*((p, g) for g in GENDERS)) for p in PRECISIONS]
    text = ", ".join(f"{p} {rate:.1f} %" for p, rate in zip(PRECISIONS, rates))
    voices = ", ".join(f"{g} {percent(*((p, g) for p in PRECISIONS)):.1f} %" for g in GENDERS)
    if e.short:                                        # too few sentences in each precision to compare them
        e.verdict(percent(*total) <= e.limit, f"words wrong {percent(*total):.1f} %, at most {e.limit:g} wanted ({text}; {voices})")
    else:
        e.verdict(max(rates) <= e.limit, f"words wrong: {text}, at most {e.limit:g} wanted ({voices})")
        e.verdict(max(rates) - min(rates) <= 2, f"precisions differ by {max(rates) - min(rates):.1f} points, at most 2 wanted")


def passages(e):
    texts = sentences.held_out()[:16 if e.short else 60]
    jobs = [moderate(voice_of(i), id=f"p{i}", text=" ".join(texts[i:i + 4]), seed=i, max_seconds=30) for i in range(0, len(texts), 4)]
    hear(e, jobs, "in passages of four sentences", e.limit + 5)


def continued(e):
    texts, jobs = sentences.held_out(), []
    for i in range(15 if e.short else 60):
        record(e, NAMES[i % len(NAMES)], texts[i], "--transcript", texts[i], "-o", f"c{i}.voice")
        jobs.append(dict(id=f"c{i}", text=texts[(i + 1) % len(texts)], voice=str(e.folder / f"c{i}.voice"), seed=i))
    hear(e, jobs, "where a recording is continued", e.limit)


def hear(e, jobs, where, limit):
    """Speak them and say how much is heard."""
    found = e.speak(jobs, USUAL)
    e.recognise(list(found.values()))
    wrong = total = 0
    for job in jobs:
        n, of = count(found[job["id"]], job["text"], USUAL)
        wrong, total = wrong + n, total + of
    ended = sum(r["ended"] for r in found.values())
    e.verdict(ended == len(found) and 100 * wrong / total <= limit, f"words wrong {where} {100 * wrong / total:.1f} %, at most "
              f"{limit:g} wanted; {ended} of {len(found)} ended")


def ends(e):
    texts = sentences.held_out()
    texts = texts[:10] + sentences.plain(10, seed=0) if e.short else texts + sentences.plain(140, seed=0)
    found = e.speak([dict(id=f"e{i}", text=t, gender=voice_of(i), pitch=LABELS[i // 2 % 5], speed=LABELS[i // 10 % 5], seed=i)
                     for i, t in enumerate(texts)], USUAL).values()
    ended = sum(r["ended"] and not r["findings"] for r in found)
    silence = max(hearing.inner_silence_seconds(r["sound"]) for r in found)
    again = sum(r["redraws"] > 0 for r in found)
    e.verdict(ended == len(found) and silence <= 1, f"{ended} of {len(found)} sentences in all kinds of voices ended within the quality "
              f"gate ({again} were drawn again), longest inner silence {silence:.2f} s")


def labels(e):
    used = LABELS[::2] if e.short else LABELS
    texts = sentences.held_out()[:4]
    syllables = hearing.count_syllables(texts)
    cases = [(g, kind, label) for g in GENDERS for kind in ("pitch", "speed") for label in used]
    found = e.speak([moderate(g, id="-".join((g, kind, label, str(i))), text=t, seed=i, **{kind: label})
                     for g, kind, label in cases for i, t in enumerate(texts)], USUAL)
    mean = {}
    for case in cases:
        sounds = [found["-".join((*case, str(i)))]["sound"] for i in range(len(texts))]
        values = (map(hearing.pitch_hz, sounds) if case[1] == "pitch" else
                  map(hearing.syllables_per_second, sounds, syllables))
        mean[case] = sum(values) / len(texts)
    for g in GENDERS:
        for kind, unit in (("pitch", "Hz"), ("speed", "syllables/s")):
            row = [mean[g, kind, label] for label in used]
            middle = len(row) // 2
            e.verdict(row[0] < row[middle] < row[-1], f"{g}, {kind} {used[0]} to {used[-1]}: "
                      f"{' '.join(f'{v:.0f}' if kind == 'pitch' else f'{v:.1f}' for v in row)} {unit}")
    female, male = (mean[g, "pitch", "moderate"] for g in GENDERS)
    e.verdict(female > male, f"pitch moderate: female {female:.0f} Hz above male {male:.0f} Hz")


def same(e):
    texts = sentences.held_out()
    plain = ("say", texts[0], "--devices", CPU, "--no-cache", "--precision", USUAL, "--temperature", str(e.temperature))
    e.run(*plain, "-o", "whole.wav")
    streamed, whole = e.run(*plain, "--format", "pcm", "-o", "-"), hearing.samples(e.folder / "whole.wav").tobytes()
    e.verdict(streamed == whole, f"streamed sound is the whole, bit for bit ({len(streamed) // 2} and {len(whole) // 2} "
              f"samples)")
    texts = ["Good morning."] + ([] if e.short else sorted(texts, key=len)[:3])
    jobs = [moderate("male", id=f"m{i}", text=t, seed=i) for i, t in enumerate(texts)]
    found = [e.speak(jobs, "bf16", devices) for devices in (CPU, "emulator")]
    e.recognise([r for of_device in found for r in of_device.values()])
    for i, text in enumerate(texts):                   # other arithmetic may tip a draw: a frame more or less, not a word
        cpu, emulator = (of_device[f"m{i}"] for of_device in found)
        seconds = [len(r["sound"]) / 16000 for r in (cpu, emulator)]
        e.verdict(cpu["heard"] and cpu["heard"] == emulator["heard"] and abs(seconds[0] - seconds[1]) < 0.1 * seconds[0],
                  f"processor and emulator, '{text}': {seconds[0]:.2f} and {seconds[1]:.2f} s, '{' '.join(cpu['heard'])}' and "
                  f"'{' '.join(emulator['heard'])}'")


def record(e, name, text, *options):
    """Clone a voice from the teacher's recording of a text."""
    subprocess.run(["flite", "-voice", name, "-t", text, "-o", e.folder / "clip.wav"], check=True)
    e.run("clone", "clip.wav", "--consent", "A synthetic voice.", *options)


def clones(e):
    texts, right, n = sentences.held_out(), 0, 3 if e.short else 100
    for i in range(n):
        name = NAMES[i % len(NAMES)]
        record(e, name, texts[i // len(NAMES)], "-o", "clone.voice")
        if i == 0:
            for s, tokens in SPEAKERS.items():
                write_like(e.folder / "clone.voice", e.folder / f"{s}.voice", [int(t) for t in tokens.split()])
        cosine = {s: float(e.run("voices", "compare", "clone.voice", f"{s}.voice").split()[-1]) for s in NAMES}
        right += cosine[name] > max(c for s, c in cosine.items() if s != name)
        print(f"clone of {name}: {', '.join(f'{s} {c:.4f}' for s, c in cosine.items())}")
    e.verdict(right >= 0.95 * n, f"{right} of {n} clones are nearest to their own speaker")


def write_like(path, out, tokens):
    """A copy of a voice file that has other tokens (docs/voice-format.md)."""
    voice = json.loads(path.read_text()) | {"global_tokens": tokens}
    voice.pop("checksum")
    canonical = json.dumps(voice, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    out.write_text(json.dumps(voice | {"checksum": hashlib.sha256(canonical.encode()).hexdigest()}))


PARTS = {f.__name__: f for f in (words, passages, continued, ends, labels, same, clones)}


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("model", type=pathlib.Path)
    a.add_argument("--part", action="append", choices=PARTS, help="only this one; may be said again")
    a.add_argument("--sparkmill", default="build/release/bin/sparkmill")
    a.add_argument("--short", action="store_true", help="less of each, for tests: under a minute")
    a.add_argument("--temperature", type=float, default=0.8)
    a.add_argument("--limit", type=float, default=15, help="percent of words wrong")
    a = a.parse_args()
    missing = hearing.missing() or (None if shutil.which("flite") else "flite is not installed")
    if missing:
        print(f"{missing}: nothing was measured")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        e = Evaluation(a, pathlib.Path(folder))
        for part in a.part or PARTS:
            PARTS[part](e)
    for good, what in e.verdicts:
        print("good" if good else "BAD ", what)
    return int(not all(good for good, _ in e.verdicts))


if __name__ == "__main__":
    sys.exit(main())
