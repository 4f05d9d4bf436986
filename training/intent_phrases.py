"""Small talk drawn from the phrases in services/guard/understanding/small_talk, so that the trained head knows what they know.

The phrases are regular expressions of a small kind: words, groups, `|`, `?`, `*` and `{m,n}`. This module does not know the guard.
"""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import yaml

from training import ROOT

PHRASES = ROOT / "services" / "guard" / "understanding" / "small_talk"
_OPTIONAL = 0.5
_QUANTIFIER = re.compile(r"\{(\d+),(\d+)\}|[?*]")
_BOTS = ("bot", "robot", "chatbot", "assistant", "dear bot")


class _Sampler:
    """One draw from one phrase."""

    def __init__(self, phrase: str, rng: random.Random) -> None:
        self._phrase = phrase
        self._rng = rng
        self._at = 0

    def alternatives(self) -> str:
        """What stands up to the next closing bracket, one alternative of it."""
        found = [self._sequence()]
        while self._at < len(self._phrase) and self._phrase[self._at] == "|":
            self._at += 1
            found.append(self._sequence())
        return self._rng.choice(found)

    def _sequence(self) -> str:
        parts: list[str] = []
        while self._at < len(self._phrase) and self._phrase[self._at] not in "|)":
            begin = self._at
            part = self._atom()
            end = self._at
            quantifier = _QUANTIFIER.match(self._phrase, end)
            if quantifier is None:
                parts.append(part)
                continue
            least, most = (int(quantifier[1]), int(quantifier[2])) if quantifier[1] else (0, 1 if quantifier[0] == "?" else 3)
            times = least
            while times < most and self._rng.random() < _OPTIONAL:
                times += 1
            for _ in range(times):
                self._at = begin
                parts.append(self._atom())
            self._at = quantifier.end()
        return "".join(parts)

    def _atom(self) -> str:
        if self._phrase[self._at] == "(":
            self._at += 1
            found = self.alternatives()
            self._at += 1  # the closing bracket
            return found
        self._at += 1
        return self._phrase[self._at - 1]


def sample(phrase: str, rng: random.Random) -> str:
    """One utterance that a phrase covers."""
    found = _Sampler(phrase.replace("{name}", rng.choice(_BOTS)), rng).alternatives()
    return " ".join(found.split())


class Phrases:
    """The phrases of all languages."""

    def __init__(self, folder: Path = PHRASES) -> None:
        files: list[dict[str, Any]] = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.yaml"))]
        self._files = files
        # The commonest languages come oftener.
        self._weights = [{"en": 5.0, "de": 3.0}.get(file["language"], 1.0) for file in files]

    def words(self) -> set[str]:
        text = " ".join(
            phrase for file in self._files for phrases in [*file["intents"].values(), file["fillers"]] for phrase in phrases
        )
        return set(re.findall(r"[^\W\d_]+", text.replace("{name}", " ").replace("'", "")))

    def filler(self, rng: random.Random, file: dict[str, Any] | None = None) -> str:
        """What may surround small talk and is none by itself."""
        return sample(rng.choice((file or rng.choices(self._files, self._weights)[0])["fillers"]), rng)

    def draw(self, rng: random.Random) -> tuple[str, str, str]:
        """(text, intent, language)"""
        file = rng.choices(self._files, self._weights)[0]
        intent = rng.choice(sorted(file["intents"]))
        text = sample(rng.choice(file["intents"][intent]), rng)
        if rng.random() < 0.2:
            filler = self.filler(rng, file)
            text = f"{filler} {text}" if rng.random() < 0.7 else f"{text} {filler}"
        return text, intent, file["language"]
