#!/usr/bin/env python3
"""spectrogram.py SOUND.wav PICTURE.png: a picture of speech, 16,000 samples a second: 5 ms a column, 0 to 8 kHz upwards.

Only the standard library is used. Sixteen colours over 64 dB keep the file small.
"""

import cmath
import math
import pathlib
import struct
import sys
import zlib

import hearing

N, HOP, HEIGHT = 512, 80, 256                          # samples of a window (32 ms) and a column; rows
WINDOW = [0.5 - 0.5 * math.cos(2 * math.pi * i / N) for i in range(N)]
TURNS = [cmath.exp(-2j * math.pi * k / N) for k in range(N // 2)]
COLOURS = ((255, 255, 255), (190, 205, 225), (70, 110, 175), (25, 45, 105), (10, 10, 40))   # quiet to loud
DECIBELS = 64


def fft(x):
    if len(x) == 1:
        return x
    even, odd = fft(x[::2]), fft(x[1::2])
    turned = [b * TURNS[k * (N // len(x))] for k, b in enumerate(odd)]
    return [a + b for a, b in zip(even, turned)] + [a - b for a, b in zip(even, turned)]


def columns(x):
    """Decibels of each window, lowest frequency first; high ones are raised, as the ear does."""
    x = [b - 0.9 * a for a, b in zip(x, x[1:])]
    for a in range(0, len(x) - N, HOP):
        spectrum = fft([v * w for v, w in zip(x[a:a + N], WINDOW)])
        yield [10 * math.log10(abs(v) ** 2 + 1) for v in spectrum[:HEIGHT]]


def palette():
    for i in range(16):
        at = i / 15 * (len(COLOURS) - 1)
        k = min(int(at), len(COLOURS) - 2)
        yield bytes(round(a + (at - k) * (b - a)) for a, b in zip(COLOURS[k], COLOURS[k + 1]))


def png(rows):
    """Rows of numbers below 16, even in width, in the palette's colours."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packed = b"".join(b"\0" + bytes(a << 4 | b for a, b in zip(row[::2], row[1::2])) for row in rows)
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 4, 3, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"PLTE", b"".join(palette())) +
            chunk(b"IDAT", zlib.compress(packed, 9)) + chunk(b"IEND", b""))


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    picture = list(columns(hearing.samples(sys.argv[1])))
    picture = picture[:len(picture) // 2 * 2]
    loudest = max(map(max, picture))
    rows = [[max(0, min(15, int((v - loudest + DECIBELS) / DECIBELS * 16))) for v in row] for row in zip(*picture)]
    pathlib.Path(sys.argv[2]).write_bytes(png(rows[::-1]))


if __name__ == "__main__":
    main()
