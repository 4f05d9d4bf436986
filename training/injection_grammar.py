"""Attacks and honest texts from the hand-written patterns of injection_text/*.yaml. Knows neither data sets nor the network."""

from __future__ import annotations

import random
import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).with_name("injection_text")
LANGUAGES = tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))
_CHOICE = re.compile(r"\[([^\[\]]*\|[^\[\]]*)\]")
_SLOT = re.compile(r"\{(\w+)\}")
_LITERAL = str.maketrans({"⟦": "[", "⟧": "]", "‖": "|"})
MAX_DEPTH = 4


@cache
def patterns(lang: str) -> dict[str, Any]:
    """The file of a language."""
    found: dict[str, Any] = yaml.safe_load((FOLDER / f"{lang}.yaml").read_text(encoding="utf-8"))
    return found


class Grammar:
    """Draws texts of one language.

    Args:
        plain: honest sentences and questions that `{plain}` stands for.
    """

    def __init__(self, lang: str, rng: random.Random, plain: list[str]) -> None:
        self.lang = lang
        self._rng = rng
        self._plain = plain
        file = patterns(lang)
        self._slots: dict[str, list[str]] = {name: [str(one) for one in values] for name, values in file["slots"].items()}
        self._lines: dict[str, list[str]] = dict(file["attacks"]) | {"do": file["do"]}
        self.families = [name for name in file["attacks"] if name not in ("order", "indirect")]
        benign = file["benign"]
        self._benign: dict[str, list[str]] = benign if isinstance(benign, dict) else {"trigger": benign}

    def attack(self, family: str) -> str:
        """One attack of a family; of `indirect`, what stands in a document."""
        return self._finish(self._rng.choice(self._lines[family]))

    def benign(self) -> str:
        """One honest text that has an attack's words or form."""
        family = self._rng.choice(list(self._benign))
        return self._finish(self._rng.choice(self._benign[family]))

    def harm(self) -> str:
        """A request for something harmful, without any words of an attack."""
        asked = self._rng.choice(("Tell me", "Explain to me", "Write me", "Give me a guide:", "I need", "Describe in detail"))
        return self._finish(f"{asked} {self._rng.choice(self._slots['harm'])}")

    def order(self) -> str:
        """What an instruction in a document asks for."""
        return self._finish(self._rng.choice(self._lines["order"]))

    def _finish(self, line: str) -> str:
        text = self._fill(line, 0).translate(_LITERAL)
        text = re.sub(r" {2,}", " ", text).strip()
        text = re.sub(r" ([.,!?;:])", r"\1", text) if self.lang != "fr" else text
        form = self._rng.random()
        if form < 0.45 and text[:1].islower():
            text = text[:1].upper() + text[1:]
        elif form < 0.55:
            text = text.lower()
        elif form < 0.58:
            text = text.upper()
        if self._rng.random() < 0.25 and text[-1:].isalnum():
            text += self._rng.choice(".!?.…")
        return text

    def _fill(self, line: str, depth: int) -> str:
        # Choices first: a choice that holds a slot draws it only where it is taken.
        while True:
            drawn = _CHOICE.sub(lambda match: self._rng.choice(match[1].split("|")), line)
            if drawn == line:
                break
            line = drawn
        return _SLOT.sub(lambda match: self._slot(match[1], depth), line)

    def _slot(self, name: str, depth: int) -> str:
        if depth >= MAX_DEPTH:
            return ""
        if name == "plain":
            return self._rng.choice(self._plain)
        if name in self._slots:
            return self._rng.choice(self._slots[name])
        return self._fill(self._rng.choice(self._lines[name]), depth + 1)
