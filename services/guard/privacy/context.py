"""Words that stand beside a number and say what it is; they decide where form and check digits do not."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from pathlib import Path

import yaml

OTHER = "other"
_BEFORE = 48
"""Code points before a number in which its word stands: `Personal info:\\n\\nPhone:\\n`."""
_AFTER = 16
_ACCENTS = dict.fromkeys(range(0x300, 0x370))
_WORDS = Path(__file__).with_name("context.yaml")


def _fold(text: str) -> str:
    """Lower case without accents, of the same length: the places of words are compared."""
    if text.isascii():
        return text.lower()
    return "".join(_plain(character) for character in text)


@cache
def _plain(character: str) -> str:
    bare = unicodedata.normalize("NFD", character).translate(_ACCENTS).lower()
    return {"ı": "i", "ł": "l", "ß": "s"}.get(bare, bare[:1] or " ")


def _pattern(words: list[str]) -> re.Pattern[str]:
    parts = [re.escape(_fold(word.rstrip("*"))) + (r"\w*" if word.endswith("*") else "") for word in dict.fromkeys(words)]
    return re.compile(rf"(?<!\w)(?:{'|'.join(sorted(parts, key=len, reverse=True))})(?!\w)")


class Context:
    """The words of context.yaml."""

    def __init__(self, path: Path = _WORDS) -> None:
        listed: dict[str, str] = yaml.safe_load(path.read_text(encoding="utf-8"))
        words = {name: line.split() for name, line in listed.items()}
        self._patterns = {name: _pattern(own) for name, own in words.items()}
        # A telephone number has no check digit: a word of any other number outweighs its own. Two letters are no word here.
        others = [word for name, own in words.items() if name not in ("phone", "ip") for word in own if len(word) > 2]
        self._against = dict.fromkeys(words, self._patterns[OTHER]) | {"phone": _pattern(others)}

    def speaks_for(self, name: str, text: str, start: int, end: int) -> bool:
        """Whether a word of `name` stands beside text[start:end], and none nearer that says it is something else."""
        before = _fold(text[max(0, start - _BEFORE) : start])
        own, other = _last(self._patterns[name], before), _last(self._against[name], before)
        if own >= 0:
            return own >= other
        return other < 0 and self._patterns[name].search(_fold(text[end : end + _AFTER])) is not None

    def speaks_against(self, name: str, text: str, start: int) -> bool:
        """Whether a word shortly before `start` says that the number is none of `name`: an order, a version, a book."""
        return _last(self._against[name], _fold(text[max(0, start - _BEFORE // 2) : start])) >= 0


def _last(pattern: re.Pattern[str], text: str) -> int:
    """Where the last word ends, or -1."""
    end = -1
    for match in pattern.finditer(text):
        end = match.end()
    return end
