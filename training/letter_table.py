"""How dear each letter is after the two before it, in words of eleven languages: what tells a text from letters struck at random.

    python -m training.letter_table DATA-FOLDER services/guard/output/letters.npz

Counts, no network: minus log2 of the probability of a letter given two, trigram, bigram and letter mixed, in sixteenths of a bit as
uint8. Two tables, (27, 27, 27) for Latin letters without their accents and (34, 34, 34) for Cyrillic ones; 0 is the edge of a word.
Text: the half of the PUD sentences that the guard's classifier trains on, open English text, function words. This module does not
know who reads the tables.
"""

from __future__ import annotations

import argparse
import json
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from training.injection_sources import bucket
from training.sources import DataFolder

LANGUAGES = ("cs", "de", "en", "es", "fr", "it", "pl", "pt", "ru", "tr")
ENGLISH = ("qa/text/openstax_biology1e.jsonl", "qa/text/craft_fulltext.jsonl", "qa/text/18f_handbook.jsonl")
ENGLISH_CHARACTERS = 400_000  # of each, so that English does not drown the others
HELD_OUT_BELOW = 50
FUNCTION_WORDS = Path("services/guard/understanding/function_words.yaml")
_WORD = re.compile(r"[^\W\d_]+")
_LATIN = {chr(97 + n): n + 1 for n in range(26)}
_CYRILLIC = {letter: n + 1 for n, letter in enumerate("абвгдежзийклмнопрстуфхцчшщъыьэюяё")}
_SPELLED = str.maketrans({"ß": "ss", "ł": "l", "ø": "o", "đ": "d", "ı": "i", "æ": "ae", "œ": "oe", "ð": "d", "þ": "th"})
_MIX = (0.75, 0.2, 0.05)


def _texts(data: DataFolder) -> Iterable[str]:
    for language in LANGUAGES:
        for number, line in enumerate(data.text(f"guard/multilingual/pud.{language}.txt").splitlines()):
            if bucket(str(number), "ragmesh-pud") >= HELD_OUT_BELOW:
                yield line
    for name in ENGLISH:
        left = ENGLISH_CHARACTERS
        for row in data.rows(name):
            text = str(row["text"])[:20_000]
            yield text[:left]
            left -= len(text)
            if left <= 0:
                break
    for row in yaml.safe_load(FUNCTION_WORDS.read_text(encoding="utf-8")).values():
        yield from [str(row)] * 3


def _counts(words: Iterable[str], letters: dict[str, int]) -> NDArray[np.float64]:
    """(n, n, n) counts of three letters in a row, edges included."""
    size = len(letters) + 1
    found = np.zeros((size, size, size))
    for word in words:
        codes = [0, 0, *(letters[letter] for letter in word), 0]
        for one, two, three in zip(codes, codes[1:], codes[2:], strict=False):
            found[one, two, three] += 1
    return found


def costs(counts: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Sixteenths of a bit for each third letter, (n, n, n)."""
    tri = counts / np.maximum(counts.sum(2, keepdims=True), 1)
    two = counts.sum(0)
    bi = two / np.maximum(two.sum(1, keepdims=True), 1)
    one = two.sum(0) / two.sum()
    mixed = _MIX[0] * tri + _MIX[1] * bi[None] + _MIX[2] * one[None, None]
    return np.asarray(np.clip(-16 * np.log2(np.maximum(mixed, 1e-9)), 0, 255).round(), dtype=np.uint8)


def tables(data: DataFolder) -> dict[str, NDArray[np.uint8]]:
    """Both tables."""
    latin: list[str] = []
    cyrillic: list[str] = []
    for text in _texts(data):
        plain = unicodedata.normalize("NFKD", text.lower().translate(_SPELLED).replace("й", "\0").replace("ё", "\1"))
        plain = "".join(c for c in plain if not unicodedata.combining(c)).replace("\0", "й").replace("\1", "ё")
        for word in _WORD.findall(plain):
            if all(letter in _LATIN for letter in word):
                latin.append(word)
            elif all(letter in _CYRILLIC for letter in word):
                cyrillic.append(word)
    return {"latin": costs(_counts(latin, _LATIN)), "cyrillic": costs(_counts(cyrillic, _CYRILLIC))}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    data = DataFolder(given.data)
    made = tables(data)
    np.savez_compressed(given.out, latin=made["latin"], cyrillic=made["cyrillic"])
    print(json.dumps({name: [row.licence, row.origin] for name, row in data.used.items()}, indent=1))


if __name__ == "__main__":
    main()
