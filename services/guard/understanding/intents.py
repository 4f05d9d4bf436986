"""What a question is for: small talk, or something to answer from the documents.

A text is small talk only if phrases and fillers cover all of its words: "hi, does CBD help sleep?" is a question. Knows no topic.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ragmesh.evidence.v1.text_pb2 import Intent

from services.guard.understanding.language import UNKNOWN
from services.guard.views import fold

MAX_WORDS = 24
"""Longer is no small talk."""
MAX_CHARACTERS = 160
_LEAST_MISSPELLED = 4
"""Letters of a word below which a slip makes another word."""
_MOST_MISSPELLED = 2
_MAX_FILE_BYTES = 128 * 1024

# Of several phrases in one text the one that asks for most decides: "hi, who are you?" is about identity.
_BY_WEIGHT = ("capabilities", "identity", "wellbeing", "goodbye", "thanks", "greeting")

_WORD = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*")
_LETTERS = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_PART_OF_A_WORD = re.compile(r"\w\((?! )|\w[?+*\[]|(?<! )\)\w")
# Anything but words, white space, punctuation and emoji means something that no phrase covers.
_MEANINGFUL = re.compile(r"[\d/\\%$€£+=@#&|~^°µ{}\[\]_]")


class SmallTalkError(ValueError):
    """A file of small talk cannot be used; the message says which and why."""


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    language: Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]
    fillers: Annotated[list[str], Field(max_length=64)]
    intents: Annotated[dict[str, Annotated[list[str], Field(min_length=1, max_length=64)]], Field(min_length=1)]


def _distance_one(word: str, known: str) -> bool:
    """Whether one letter was left out, doubled or swapped with its neighbour; another letter only in long words."""
    if abs(len(word) - len(known)) > 1:
        return False
    if len(word) == len(known):
        wrong = [index for index in range(len(word)) if word[index] != known[index]]
        if len(wrong) == 2 and wrong[1] == wrong[0] + 1:
            return word[wrong[0]] == known[wrong[1]] and word[wrong[1]] == known[wrong[0]]
        return len(wrong) == 1 and len(word) >= 7
    longer, shorter = (word, known) if len(word) > len(known) else (known, word)
    return any(longer[:index] + longer[index + 1 :] == shorter for index in range(len(longer)))


class SmallTalk:
    """Small talk by rules.

    Args:
        folder: files of phrases, one a language or group of languages.
        names: display names of the assistants, which a greeting may hold.

    Raises:
        SmallTalkError: a file is wrong.
    """

    def __init__(self, folder: Path, names: Iterable[str]) -> None:
        paths = sorted(folder.glob("*.yaml"))
        if not paths:
            raise SmallTalkError(f"{folder}: holds no file *.yaml")
        self._names = "|".join(sorted({re.escape(fold(name)) for name in names}) or ["assistant"])
        self._grammars = [self._grammar(path) for path in paths]

    def _grammar(self, path: Path) -> _Grammar:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise SmallTalkError(f"{path}: more than {_MAX_FILE_BYTES} bytes")
        try:
            file = _File.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
            return _Grammar(file, self._names)
        except (UnicodeDecodeError, yaml.YAMLError, ValidationError, re.error, KeyError, ValueError) as error:
            raise SmallTalkError(f"{path}: {error}") from None

    def find(self, text: str) -> tuple[Intent.ValueType, str]:
        """The intent of `text`, and the language of its small talk; `und` where that is not known or it is none."""
        if len(text) > MAX_CHARACTERS or _MEANINGFUL.search(text):
            return Intent.INTENT_QUESTION, UNKNOWN
        words = _WORD.findall(fold(text).replace("'", ""))
        if not 0 < len(words) <= MAX_WORDS:
            return Intent.INTENT_QUESTION, UNKNOWN
        found = [(intent, grammar.language) for grammar in self._grammars if (intent := grammar.parse(words))]
        if not found:
            return Intent.INTENT_QUESTION, UNKNOWN
        # "hi" and "ok, bye" are small talk in several languages.
        spoken = {language for _, language in found} - {UNKNOWN}
        weightiest = min((intent for intent, _ in found), key=_BY_WEIGHT.index)
        return Intent.Value(f"INTENT_{weightiest.upper()}"), spoken.pop() if len(spoken) == 1 else UNKNOWN


class _Grammar:
    """The phrases of one file."""

    def __init__(self, file: _File, names: str) -> None:
        unknown = set(file.intents) - set(_BY_WEIGHT)
        if unknown:
            raise KeyError(f"no intent: {', '.join(sorted(unknown))}")
        self.language = file.language
        kinds = {**{name: file.intents[name] for name in _BY_WEIGHT if name in file.intents}, "filler": file.fillers}
        for phrase in (phrase for phrases in kinds.values() for phrase in phrases):
            if part := _PART_OF_A_WORD.search(phrase.replace("{name}", "name")):
                raise ValueError(f"words must be written out, not as {part[0]!r}: {phrase}")
        sources = {kind: "|".join(phrases).replace("'", "").replace("{name}", f"(?:{names})") for kind, phrases in kinds.items()}
        self._patterns = {kind: re.compile(f"(?:{source})(?= |$)") for kind, source in sources.items() if source}
        self._vocabulary = {word for source in sources.values() for word in _LETTERS.findall(source)}
        self._by_letter: dict[str, list[str]] = {}
        for word in self._vocabulary:
            self._by_letter.setdefault(word[0], []).append(word)

    def parse(self, words: list[str]) -> str | None:
        """The intent where phrases and fillers cover `words`, else None.

        Of several readings the one with fewest parts counts, then the weightiest: "thanks for your help" is no call for help.
        """
        strange = {word for word in words if word not in self._vocabulary}
        if len(strange) > _MOST_MISSPELLED:
            return None
        meant = {word: self._meant(word) for word in strange}
        if None in meant.values():
            return None
        text = " ".join(meant.get(word) or word for word in words)
        reached: dict[int, tuple[int, int]] = {0: (0, len(_BY_WEIGHT))}
        for start in range(len(text)):
            if start not in reached:
                continue
            parts, best = reached[start]
            for kind, pattern in self._patterns.items():
                rank = _BY_WEIGHT.index(kind) if kind in _BY_WEIGHT else len(_BY_WEIGHT)
                for end in _ends(pattern, text, start):
                    after = min(end + 1, len(text))
                    reading = (parts + 1, min(best, rank))
                    reached[after] = min(reached.get(after, reading), reading)
        _, best = reached.get(len(text), (0, len(_BY_WEIGHT)))
        return _BY_WEIGHT[best] if best < len(_BY_WEIGHT) else None

    def _meant(self, word: str) -> str | None:
        """The only word of a phrase that `word` misspells by a letter, or None."""
        if len(word) < _LEAST_MISSPELLED:
            return None
        known = (item for item in self._by_letter.get(word[0], ()) if len(item) >= _LEAST_MISSPELLED)
        likely = {item for item in known if _distance_one(word, item)}
        return likely.pop() if len(likely) == 1 else None


def _ends(pattern: re.Pattern[str], text: str, start: int) -> Iterator[int]:
    """Every end of a word at which `pattern` can stop: what follows must fit too, so that the longest is not enough."""
    if not pattern.match(text, start):
        return
    end = start
    while end < len(text):
        end = text.find(" ", end + 1)
        end = len(text) if end < 0 else end
        if pattern.fullmatch(text, start, end):
            yield end
