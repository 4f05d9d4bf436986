"""Whether letters stand in an order that a language has: bits a letter by tables of three letters in a row (letters.npz).

Eleven languages share a table for each alphabet, so this tells text from keys struck at random, not one language from another.
What is no running text (addresses, codes, acronyms, words with digits) is not read. The tables are made by
training/letter_table.py; MODEL_CARD.md says from what. Knows no verdict.
"""

from __future__ import annotations

import random
import re
import unicodedata
from functools import cache
from itertools import accumulate
from operator import sub
from pathlib import Path

import numpy as np
import yaml

SPAN = 18
"""Letters that are judged together: so many in a row are never this dear by chance."""
MAX_CHARACTERS = 8_192
DEAREST, MEAN, MEAN_WITH_NAMES = 6.6, 5.7, 6.4
"""Bits a letter: of SPAN in a row, of a text, of a text with capitals. Half of PUD that the tables do not know: at most 6.3, 5.3,
5.3; letters drawn at random: 6.1 at least for 99 % of texts of five words."""
LEAST = 24
"""Letters that a whole text has at least, to be judged by its mean."""
UNSURE, LEAST_WORDS = 0.82, 7
"""From this share of MEAN on, so many words without an accent and with hardly a function word must have the whole NO_ORDER."""
FUNCTION_WORDS_SHARE = 0.13
SHUFFLED_MEAN = 4.6
"""From this mean on a text is held against itself with the letters of each word shuffled."""
NO_ORDER, NO_ORDER_SHORT = 0.7, 1.5
"""Bits a letter that shuffling costs a text at least, less NO_ORDER_SHORT over the root of its letters. Sentences of 45 letters and
more lose 0.55 in Turkish, which is the least of eleven languages, 1.0 in English; letters that are shuffled already lose none."""
SHUFFLES = 2
NO_VOWELS = 0.8
"""Share of words of two letters and more that no language has without a vowel. Czech has three in ten."""
LEAST_SHUFFLED = 5
"""Different words that are held against themselves at least."""
MAX_SHUFFLED = 240
"""Letters that are held against themselves; more tell no more."""
TABLES = Path(__file__).with_name("letters.npz")
FUNCTION_WORDS = Path(__file__).parents[1] / "understanding" / "function_words.yaml"
_SIXTEENTHS = 16.0
_VOWELS = frozenset("aeiouyаеиоуыэюяёіїє")
_EDGES = ".,;:!?()[]\"'“”„«»‘’…*#>–—-"
_INSIDE = str.maketrans("", "", "-'’")
_ACCENTS = str.maketrans({"ß": "ss", "ł": "l", "ø": "o", "đ": "d", "ı": "i", "æ": "ae", "œ": "oe", "ð": "d", "þ": "th"})
_LATIN = "abcdefghijklmnopqrstuvwxyz"
_CYRILLIC = "абвгдежзийклмнопрстуфхцчшщъыьэюяё"


@cache
def _tables() -> dict[str, list[int]]:
    """The tables as flat lists of sixteenths of a bit: for texts of a hundred letters a list is quicker than an array."""
    with np.load(TABLES, allow_pickle=False) as stored:
        return {name: stored[name].reshape(-1).tolist() for name in ("latin", "cyrillic")}


@cache
def function_words() -> frozenset[str]:
    """Function words of all languages, without accents, two letters at least."""
    listed: dict[str, str] = yaml.safe_load(FUNCTION_WORDS.read_text(encoding="utf-8"))
    return frozenset(word for row in listed.values() for word in _plain(row.split()).split() if len(word) > 1)


def _codes(letters: str) -> bytes:
    """256 classes: of each code point below 0x100 its number in `letters`; 0 where it is none of them."""
    return bytes(letters.index(chr(n)) + 1 if chr(n) in letters else 0 for n in range(256))


_LATIN_CODES = _codes(_LATIN)
_CYRILLIC_CODES = str.maketrans({letter: chr(n + 1) for n, letter in enumerate(_CYRILLIC)})


def _words(text: str) -> list[str]:
    """The words of running text: letters only, at least two, no acronym and no camelCase."""
    kept = []
    for token in text[:MAX_CHARACTERS].split():
        word = token.strip(_EDGES)
        if len(word) > 1 and word[1:].islower() and (word.isalpha() or word.translate(_INSIDE).isalpha()):
            kept.append(word)
    return kept


_MAX_REMEMBERED = 20_000


class _Unmarked(dict[int, int | None]):
    """Takes marks that stand on letters away; remembers what it has met."""

    def __missing__(self, code: int) -> int | None:
        found = None if unicodedata.combining(chr(code)) else code
        if len(self) < _MAX_REMEMBERED:
            self[code] = found
        return found


_UNMARKED = _Unmarked()


def _plain(words: list[str]) -> str:
    text = " ".join(words).lower()
    if text.isascii():
        return text
    text = unicodedata.normalize("NFKD", text.translate(_ACCENTS).replace("й", "\0").replace("ё", "\1"))
    return text.translate(_UNMARKED).replace("\0", "й").replace("\1", "ё")


def _spent(codes: bytes, letters: int, table: list[int]) -> list[int]:
    """Sixteenths of a bit of each letter."""
    size = letters + 1
    # A letter costs where it stands; the edge of a word costs nothing, or short words would be dear.
    return [
        table[(one * size + two) * size + three]
        for one, two, three in zip(b"\0\0" + codes, b"\0" + codes, codes, strict=False)
        if three
    ]


def _dearest(codes: bytes, letters: int, table: list[int]) -> tuple[float, float]:
    """The mean bits of the dearest SPAN letters in a row and of all letters; zeros where there are fewer."""
    spent = _spent(codes, letters, table)
    if len(spent) < SPAN:
        return 0.0, 0.0
    sums = list(accumulate(spent, initial=0))
    return max(map(sub, sums[SPAN:], sums)) / SPAN / _SIXTEENTHS, sums[-1] / len(spent) / _SIXTEENTHS


def _bits(plain: str) -> tuple[float, float]:
    latin = plain.encode("latin-1", "replace").translate(_LATIN_CODES)
    worst = _dearest(latin, len(_LATIN), _tables()["latin"])
    if not plain.isascii() and any("а" <= character <= "ё" for character in plain):
        kept = re.sub(f"[^{_CYRILLIC}]", "\0", plain).translate(_CYRILLIC_CODES)
        worst = max(worst, _dearest(kept.encode("latin-1", "replace"), len(_CYRILLIC), _tables()["cyrillic"]))
    return worst


def _mean(plain: str) -> float:
    """The second of `_bits` alone."""
    if not plain.isascii():
        return _bits(plain)[1]
    spent = _spent(plain.encode().translate(_LATIN_CODES), len(_LATIN), _tables()["latin"])
    return sum(spent) / len(spent) / _SIXTEENTHS if len(spent) >= SPAN else 0.0


@cache
def _orders(length: int) -> tuple[tuple[int, ...], ...]:
    """The same for every word of a length, so that a text has one verdict."""
    rng = random.Random(length)
    return tuple(tuple(rng.sample(range(length), length)) for _ in range(SHUFFLES))


def _order(plain: str, mean: float) -> float:
    """Bits a letter that a text of this mean loses when letters are shuffled inside its words; near 0 where they have no order."""
    words = plain[:MAX_SHUFFLED].split()
    if len(words) > 1 and len(plain) > MAX_SHUFFLED:
        words.pop()
        mean = _mean(" ".join(words))
    shuffled = [
        _mean(" ".join("".join([word[place] for place in _orders(len(word))[number]]) for word in words))
        for number in range(SHUFFLES)
    ]
    return sum(shuffled) / SHUFFLES - mean


def implausible(text: str) -> float:
    """How far the letters of a text are beyond what a language has; from 1 on they are struck at random, 0 where there are too few.

    Names come from any language: words with a capital count only where they are most of the text, and then with more patience.
    """
    words = _words(text)
    lower = [word for word in words if word.islower()]
    plain = _plain(lower)
    dearest, mean = _bits(plain)
    worst = max(dearest / DEAREST, mean / MEAN if len(plain) - len(lower) >= LEAST else 0.0)
    letters = len(plain) - len(lower) + 1
    if worst < 1 and mean >= SHUFFLED_MEAN and letters >= LEAST and len(set(lower)) >= LEAST_SHUFFLED:
        least = NO_ORDER - NO_ORDER_SHORT / letters**0.5
        if text.isascii() and mean >= UNSURE * MEAN and len(lower) >= LEAST_WORDS:
            known = sum(word in function_words() for word in lower)
            least = NO_ORDER if known < FUNCTION_WORDS_SHARE * len(lower) else least
        if sum(_VOWELS.isdisjoint(word) for word in plain.split()) >= NO_VOWELS * len(lower) or _order(plain, mean) < least:
            worst = 1.0
    if len(lower) < len(words):
        worst = max(worst, _mean(_plain(words)) / MEAN_WITH_NAMES)
    return worst
