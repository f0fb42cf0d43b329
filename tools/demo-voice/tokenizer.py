"""The demo voice's own tokenizer: one token a byte (spelling is what a small model learns from), and the published added tokens.

The files are the published ones in form: byte-level BPE without merges. Sizes of families: as many as there are codes.
"""

import json

import speech

STOCK = """<|endoftext|> <|im_start|> <|im_end|>""".split()
FAMILIES = {"bicodec_global": 64, "bicodec_semantic": len(speech.TOKENS), "pitch_value": 401, "pitch_label": 5,
            "speed_value": 11, "speed_label": 5, "gender": 3}
MARKERS = """task_tts task_controllable_tts start_content start_style_label start_acoustic_token start_global_token
start_semantic_token end_content end_style_label end_acoustic_token end_global_token end_semantic_token""".split()
PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def _byte_symbols():
    """GPT-2's printable stand-in for every byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = iter(range(256, 512))
    return [chr(b) if b in printable else chr(next(spare)) for b in range(256)]


ADDED = STOCK + [f"<|{f}_{i}|>" for f, n in FAMILIES.items() for i in range(n)] + [f"<|{m}|>" for m in MARKERS]
ID = {name: 256 + i for i, name in enumerate(ADDED)}
SIZE = 256 + len(ADDED)


def first(family):
    return ID[f"<|{family}_0|>"]


def marker(name):
    return ID[f"<|{name}|>"]


def encode(text):
    return list(text.encode())


def write(folder):
    """tokenizer.json and added_tokens.json into an LLM folder."""
    vocab = {s: b for b, s in enumerate(_byte_symbols())}
    added = [dict(id=ID[n], content=n, single_word=False, lstrip=False, rstrip=False, normalized=n not in STOCK,
                  special=n in STOCK) for n in ADDED]
    level = dict(type="ByteLevel", add_prefix_space=False, trim_offsets=False, use_regex=False)
    file = dict(version="1.0", truncation=None, padding=None, added_tokens=added, normalizer=dict(type="NFC"),
                pre_tokenizer=dict(type="Sequence", pretokenizers=[
                    dict(type="Split", pattern=dict(Regex=PATTERN), behavior="Isolated", invert=False), level]),
                post_processor=level, decoder=level,
                model=dict(type="BPE", dropout=None, unk_token=None, continuing_subword_prefix="", end_of_word_suffix="",
                           fuse_unk=False, byte_fallback=False, ignore_merges=False, vocab=vocab, merges=[]))
    (folder / "tokenizer.json").write_text(json.dumps(file, ensure_ascii=False, indent=1))
    (folder / "added_tokens.json").write_text(json.dumps(ID, indent=1))
