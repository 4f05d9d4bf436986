"""The assistant's own instructions in what it says: by a canary, and by overlap folded to letters and digits.

Case, spacing, punctuation, accents and the change from "you" to "I" do not hide a repetition, and a segment's end does not cut
it: the tail of what was said before is read with it. Knows the texts that must not be said; not how they are shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from services.guard.output.facts import compact, folded_text

SHINGLE = 20
"""Letters and digits in a row that are looked up; about four words."""
LEAST_SHARED = 28
"""Letters and digits in a row that both have, for a repetition: a half sentence. Shorter agreements are chance."""
_STRIDE = LEAST_SHARED - SHINGLE + 1
MAX_PROTECTED = 256 * 1024
_LEAST_CANARY = 8
_WORD = re.compile(r"[^\W_]+")
# Who is spoken to and who speaks change places where instructions are told again.
_PERSONS = frozenset(
    [
        "i",
        "me",
        "my",
        "mine",
        "myself",
        "you",
        "your",
        "yours",
        "yourself",
        "we",
        "us",
        "our",
        "am",
        "are",
        "is",
        "be",
        "was",
        "were",
        "ich",
        "mir",
        "mich",
        "mein",
        "meine",
        "meinen",
        "meinem",
        "meiner",
        "du",
        "dir",
        "dich",
        "dein",
        "deine",
        "deinen",
        "deinem",
        "deiner",
        "bist",
        "bin",
        "sie",
        "ihnen",
        "ihr",
        "ihre",
        "je",
        "tu",
        "te",
        "ton",
        "ta",
        "tes",
        "vous",
        "votre",
        "vos",
        "mon",
        "ma",
        "mes",
        "suis",
        "es",
        "etes",
        "eu",
        "tu",
        "teu",
        "tua",
        "meu",
        "minha",
        "yo",
        "mi",
        "tus",
        "tuyo",
        "io",
        "tuo",
        "tua",
        "mio",
        "mia",
        "ik",
        "jij",
        "je",
        "jouw",
        "mijn",
        "ja",
        "ty",
        "twoj",
        "moj",
        "ben",
        "sen",
        "я",
        "ты",
        "вы",
        "мой",
        "твой",
        "ваш",
        "já",
        "tvuj",
        "muj",
        "m",
        "re",
        "ve",
        "d",
        "ll",
        "s",
    ]
)


@lru_cache(maxsize=8)
def told(text: str) -> str:
    """What is left of a text when persons, case, spacing and signs do not count."""
    found = _WORD.findall(folded_text(text))
    if sum(len(word) == 1 for word in found) > len(found) / 2:
        # Letters set apart: nobody can say which of them are words.
        return "".join(found)
    return "".join(word for word in found if word not in _PERSONS)


@dataclass(frozen=True, slots=True)
class Leak:
    """A repetition that was found."""

    rule: str
    shared: int
    """Letters and digits in a row."""
    before: int
    """Of them, how many stood in earlier segments."""
    least: int
    """From how many on it is one."""


class Protected:
    """Texts that must not be repeated.

    Args:
        texts: instructions; a canary is a word of them that stands nowhere else.
        canaries: words that must never be said, at least eight letters and digits each.
    """

    def __init__(self, texts: Iterable[str], canaries: Iterable[str] = ()) -> None:
        self._told = [told(text)[:MAX_PROTECTED] for text in texts]
        self._shingles = {
            whole[start : start + SHINGLE] for whole in self._told for start in range(max(0, len(whole) - SHINGLE + 1))
        }
        self._canaries = [word for word in map(compact, canaries) if len(word) >= _LEAST_CANARY]
        self.longest = max([LEAST_SHARED, *map(len, self._canaries)])
        """How much of what was said before must be kept to see what goes on."""

    def canary(self, text: str, before: str = "") -> Leak | None:
        """A canary that ends in `text`; `before` is `compact` of what came before."""
        if not self._canaries:
            return None
        said = compact(text)
        tail = before[-self.longest :]
        whole = tail + said
        for word in self._canaries:
            at = whole.find(word)
            if at >= 0 and at + len(word) > len(tail):
                return Leak("prompt_leak.canary", len(word), max(0, len(tail) - at), len(word))
        return None

    def overlap(self, text: str, before: str = "") -> Leak | None:
        """A repetition that ends in `text`; `before` is `told` of what came before."""
        if not self._shingles:
            return None
        tail = before[-self.longest :]
        # Stripped as it is released: the same text is not read again then.
        whole = tail + told(text.strip())
        # The shingles of a repetition begin a letter apart: one in so many is enough to see whether there is any.
        if not any(whole[at : at + SHINGLE] in self._shingles for at in range(0, len(whole) - SHINGLE + 1, _STRIDE)):
            return None
        at = 0
        while at + SHINGLE <= len(whole):
            if whole[at : at + SHINGLE] not in self._shingles:
                at += 1
                continue
            end = at + SHINGLE
            while end < len(whole) and any(whole[at : end + 1] in one for one in self._told):
                end += 1
            if end - at >= LEAST_SHARED and end > len(tail):
                return Leak("prompt_leak.overlap", end - at, max(0, len(tail) - at), LEAST_SHARED)
            at += max(1, end - at - SHINGLE + 1)
        return None
