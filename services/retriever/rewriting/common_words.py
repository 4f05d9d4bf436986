"""Words that are common in a language, whatever a corpus knows: none of them is a typing slip. The file comes from
`training.common_words`, counted over open text; its sources stand in `docs/search.md`.
"""

from __future__ import annotations

import zlib
from functools import cache
from pathlib import Path

_FILE = Path(__file__).with_name("common_words.bin")
_ALSO = {"de": "en"}
"""German text is full of English words; the other way round it is not so."""


@cache
def common_words(language: str) -> frozenset[str]:
    """Common words of `en` or `de` in small letters; those of English for any other language."""
    listed = dict(line.split(" ", 1) for line in zlib.decompress(_FILE.read_bytes()).decode().split("\n"))
    found = frozenset(listed.get(language, listed["en"]).split())
    return found | common_words(_ALSO[language]) if language in _ALSO else found


@cache
def common_by_length(language: str) -> dict[int, list[str]]:
    """The same by their number of characters."""
    found: dict[int, list[str]] = {}
    for word in sorted(common_words(language)):
        found.setdefault(len(word), []).append(word)
    return found
