"""Common words of English and German, for the retriever's spelling: a word that stands here is no typing slip, though a corpus may
not know it. Counted over the open text; a word is common where enough documents hold it in small letters.

    python -m training.common_words --data ../shared/data
"""

from __future__ import annotations

import argparse
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from training.open_text import documents
from training.sources import DataFolder

OUT = Path(__file__).resolve().parents[1] / "services" / "retriever" / "rewriting" / "common_words.bin"
_WORD = re.compile(r"[^\W\d_]{3,24}(?:['’][a-z]+)?")
_PIECE_CHARS = 4_000
"""Long documents count once for each piece of this length, so that a book's words are no rarer than a note's."""
MOST_ENGLISH = 60_000
LEAST_PIECES = {"en": 4, "de": 1}
_GERMAN = "guard/multilingual/pud.de.txt"


def _pieces(text: str) -> Iterator[str]:
    for first in range(0, len(text), _PIECE_CHARS):
        yield text[first : first + _PIECE_CHARS]


def _english(data: DataFolder) -> Counter[str]:
    counts: Counter[str] = Counter()
    for document in documents(data):
        for piece in _pieces(" ".join(text for _, text in document.sections)):
            counts.update({word for word in _WORD.findall(piece) if word.islower()})
    return counts


def _german(data: DataFolder) -> Counter[str]:
    counts: Counter[str] = Counter()
    for text in data.text(_GERMAN).splitlines():
        counts.update({word.lower() for word in _WORD.findall(text)})
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    data = DataFolder(parser.parse_args().data)
    kept = {}
    for language, counts in (("en", _english(data)), ("de", _german(data))):
        words = [word for word, count in counts.most_common(MOST_ENGLISH) if count >= LEAST_PIECES[language]]
        kept[language] = " ".join(sorted(words))
    OUT.write_bytes(zlib.compress("\n".join(f"{language} {words}" for language, words in kept.items()).encode(), 9))
    print({language: words.count(" ") + 1 for language, words in kept.items()}, OUT.stat().st_size, "bytes")
    print("\n".join(sorted(data.used)))


if __name__ == "__main__":
    main()
