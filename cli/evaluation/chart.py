"""Curves over the unit square as a PNG, from nothing but numpy and zlib: a drawing library would be a large thing to install for
one picture. Knows no figure.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_WIDTH, _HEIGHT = 960, 640
_LEFT, _RIGHT, _TOP, _BOTTOM = 90, 30, 30, 70
_INK, _GRID = (34, 34, 34), (222, 222, 222)
_COLOURS = ((11, 92, 173), (140, 140, 140), (201, 117, 0), (30, 132, 73))
_SCALE = 2  # pixels a dot of a letter
# 5 x 7 dots: one byte a column, the lowest bit on top.
_LETTERS = {
    " ": "0000000000", "%": "2313086462", ".": "0060600000", "0": "3E5149453E", "1": "00427F4000", "2": "4261514946",
    "3": "2141454B31", "4": "1814127F10", "5": "2745454539", "6": "3C4A494930", "7": "0171090503", "8": "3649494936",
    "9": "064949291E", "a": "2054545478", "b": "7F48444438", "c": "3844444420", "d": "384444487F", "e": "3854545418",
    "f": "087E090102", "g": "0C5252523E", "h": "7F08040478", "i": "00447D4000", "j": "2040443D00", "k": "7F10284400",
    "l": "00417F4000", "m": "7C04180478", "n": "7C08040478", "o": "3844444438", "p": "7C14141408", "q": "081414187C",
    "r": "7C08040408", "s": "4854545420", "t": "043F444020", "u": "3C4040207C", "v": "1C2040201C", "w": "3C4030403C",
    "x": "4428102844", "y": "0C5050503C", "z": "4464544C44",
}  # fmt: skip


@dataclass(frozen=True)
class Curve:
    """A named line through points from 0 to 1."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float]


class _Canvas:
    def __init__(self) -> None:
        self.pixels: NDArray[np.uint8] = np.full((_HEIGHT, _WIDTH, 3), 255, dtype=np.uint8)

    def box(self, x: int, y: int, width: int, height: int, colour: tuple[int, int, int]) -> None:
        self.pixels[max(0, y) : max(0, y + height), max(0, x) : max(0, x + width)] = colour

    def text(self, x: int, y: int, words: str) -> None:
        """Lower-case letters, digits, `%` and `.`; what there is no letter for is left blank."""
        for character in words:
            for column, bits in enumerate(bytes.fromhex(_LETTERS.get(character, _LETTERS[" "]))):
                for row in range(8):
                    if bits >> row & 1:
                        self.box(x + column * _SCALE, y + row * _SCALE, _SCALE, _SCALE, _INK)
            x += 6 * _SCALE

    def line(self, xs: NDArray[np.float64], ys: NDArray[np.float64], colour: tuple[int, int, int]) -> None:
        """Through points in pixels."""
        for x0, y0, x1, y1 in zip(xs, ys, xs[1:], ys[1:], strict=False):
            steps = int(max(abs(x1 - x0), abs(y1 - y0))) + 1
            for x, y in zip(np.linspace(x0, x1, steps + 1), np.linspace(y0, y1, steps + 1), strict=True):
                self.box(int(x) - 1, int(y) - 1, 3, 3, colour)

    def png(self) -> bytes:
        """8 bits a channel, RGB."""
        rows = np.concatenate([np.zeros((_HEIGHT, 1), dtype=np.uint8), self.pixels.reshape(_HEIGHT, -1)], axis=1)
        header = struct.pack(">IIBBBBB", _WIDTH, _HEIGHT, 8, 2, 0, 0, 0)
        parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
        chunks = (struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts)
        return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _x(values: Sequence[float]) -> NDArray[np.float64]:
    return _LEFT + np.asarray(values, dtype=np.float64) * (_WIDTH - _LEFT - _RIGHT)


def _y(values: Sequence[float]) -> NDArray[np.float64]:
    return _HEIGHT - _BOTTOM - np.asarray(values, dtype=np.float64) * (_HEIGHT - _TOP - _BOTTOM)


def draw(curves: Sequence[Curve], x_name: str, y_name: str) -> bytes:
    """The curves with axes from 0 to 100 % and a legend, as PNG."""
    canvas = _Canvas()
    for percent in range(0, 101, 20):
        x, y = int(_x([percent / 100])[0]), int(_y([percent / 100])[0])
        canvas.box(x, _TOP, 1, _HEIGHT - _TOP - _BOTTOM, _GRID)
        canvas.box(_LEFT, y, _WIDTH - _LEFT - _RIGHT, 1, _GRID)
        label = f"{percent}%"
        canvas.text(x - 6 * _SCALE * len(label) // 2, _HEIGHT - _BOTTOM + 12, label)
        canvas.text(_LEFT - 6 * _SCALE * len(label) - 8, y - 7, label)
    canvas.text(_WIDTH // 2 - 6 * _SCALE * len(x_name) // 2, _HEIGHT - 30, x_name)
    canvas.text(8, 8, y_name)
    for n, curve in enumerate(curves):
        colour = _COLOURS[n % len(_COLOURS)]
        canvas.line(_x(curve.xs), _y(curve.ys), colour)
        canvas.box(_LEFT + 20, _TOP + 22 + 24 * n, 24, 4, colour)
        canvas.text(_LEFT + 54, _TOP + 16 + 24 * n, curve.name)
    return canvas.png()
