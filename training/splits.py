"""Who is held out, and what must never be trained on.

An article is held out by the hash of its title, in every file alike, so that no row of a held-out article is trained on through
another file. Rows that share a 13-gram with held-out text are dropped; a 13-gram shared with the goldens stops the run.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

HELD_OUT_PERCENT = 16
GRAM = 13
_WORDS = re.compile(r"[^\W_]+")


class ContaminationError(RuntimeError):
    """Training data shares text with the goldens."""


def title_key(title: str) -> str:
    return " ".join(_WORDS.findall(title.casefold()))


def held_out(title: str) -> bool:
    """Whether this article belongs to the held-out part, in whatever file it stands."""
    digest = hashlib.sha256(f"ragmesh-split-1 {title_key(title)}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % 100 < HELD_OUT_PERCENT


def grams(text: str) -> Iterator[int]:
    """Hashes of the 13-grams of words of a text."""
    words = _WORDS.findall(text.casefold())
    for start in range(len(words) - GRAM + 1):
        yield hash(tuple(words[start : start + GRAM]))


def gram_set(texts: Iterable[str]) -> set[int]:
    found: set[int] = set()
    for text in texts:
        found.update(grams(text))
    return found


def shares(text: str, known: set[int]) -> bool:
    return any(gram in known for gram in grams(text))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


def golden_grams(folder: Path) -> set[int]:
    """The 13-grams of every string in goldens/*.jsonl."""
    found: set[int] = set()
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.strip():
                found.update(gram_set(_strings(json.loads(line))))
    return found


def refuse_goldens(texts: Iterable[str], golden: set[int], where: str) -> None:
    """Stops the run when a training text shares 13 words in a row with a golden."""
    if not golden:
        return
    for text in texts:
        if shares(text, golden):
            raise ContaminationError(f"{where}: this training text shares {GRAM} words with a golden: {text[:160]!r}")
