"""What the lints share: the project's C files, and their text with comments and literals blanked."""
import os
import re

TOP_FOLDERS = ["kernels", "runtime", "tools", "bench", "tests"]
SUFFIXES = (".c", ".h", ".inc", ".cu", ".cuh", ".cpp")

# A comment, a string or a character; what is blanked keeps its line breaks, so lines keep numbers.
_BLANKED = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL)


def find(root):
    """Paths of all C files below `root`, relative to it, in order."""
    found = []
    for top in TOP_FOLDERS:
        for folder, _, names in os.walk(os.path.join(root, top)):
            paths = (os.path.relpath(os.path.join(folder, name), root) for name in names)
            found += [path for path in paths if path.endswith(SUFFIXES)]
    return sorted(found)


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return file.read()


def blank(text):
    """`text` with every character of comments and literals but line breaks turned into a space."""
    return _BLANKED.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
