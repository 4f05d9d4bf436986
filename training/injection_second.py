"""Applications' prompts, drawn: a task, the text to do it with, and sometimes a task of somebody else's behind or in that text.

Wordings and small inputs are injection_second.yaml's, written for this project. Takes texts, gives texts.
"""

from __future__ import annotations

import random
import re
from pathlib import Path

import yaml

from training import injection_forms as forms
from training.injection_material import Material
from training.injection_requests import HEADS, filled

_TEXTS: dict[str, list[str]] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
_CHOICE = re.compile(r"\[([^\[\]]*\|[^\[\]]*)\]")
_SENTENCE = re.compile(r"(?<=[.!?]) ")
_GLUE = ("\n", "\n", " ", "\n\n", ": ")


class Applications:
    """Draws applications' prompts, and honest texts of the same parts, with the lists of `material`."""

    def __init__(self, rng: random.Random, material: Material) -> None:
        self._rng = rng
        self._material = material

    def line(self, name: str) -> str:
        """One line of a list of injection_second.yaml."""
        line = self._rng.choice(_TEXTS[name])
        while True:
            drawn = _CHOICE.sub(lambda match: self._rng.choice(match[1].split("|")), line)
            if drawn == line:
                return filled(line, self._rng, self._material).strip()
            line = drawn

    def task(self) -> str:
        """A task that needs no other text."""
        rng, draw = self._rng, self._rng.random()
        if draw < 0.65:
            return self.line("alone")
        if draw < 0.8:
            return filled(rng.choice(HEADS), rng, self._material)
        if draw < 0.92:
            return rng.choice(self._material.questions)
        return f"{self.line('about')}{rng.choice((' ', chr(10)))}{self.line('inputs')}"

    def text(self) -> str:
        """Something to work on."""
        rng, draw = self._rng, self._rng.random()
        if draw < 0.5:
            return self.line("inputs")
        if draw < 0.9:
            parts = _SENTENCE.split(" ".join(rng.choice(self._material.passages).split()))
            first = rng.randint(0, max(len(parts) - 2, 0))
            return " ".join(parts[first : first + rng.randint(1, 6)])[:1_200]
        if draw < 0.95:
            return rng.choice(self._material.questions)
        return "\n".join(self.line("inputs") for _ in range(rng.randint(2, 4)))

    def _asked(self) -> str:
        return self.line("about") if self._rng.random() < 0.7 else forms.task(self._rng)

    def injected(self, attack: str) -> str:
        """An application's prompt with `attack` behind its text, or in front of it, or behind an answer that was never given."""
        rng = self._rng
        asked, text = self._asked(), self.text()
        if text[-1] not in ".!?" and rng.random() < 0.6:
            text += "."
        draw = rng.random()
        if draw < 0.7:
            text += rng.choice((" ", " ", " ", "\n", "\n\n")) + attack
        elif draw < 0.85:
            text = attack + rng.choice((" ", "\n")) + text
        else:
            text += f"\n\n{self.line('answers')}\n\n{attack}"
        return f"{asked}{rng.choice(_GLUE)}{text}"

    def honest(self) -> str:
        """A text of the same parts in which nobody else speaks."""
        rng, draw = self._rng, self._rng.random()
        glue = rng.choice(_GLUE)
        if draw < 0.4:
            found = f"{self._asked()}{glue}{self.text()}"
            return f"{found}{rng.choice((' ', chr(10)))}{self.line('conditions')}" if rng.random() < 0.25 else found
        if draw < 0.55:
            return f"{self.text()}{glue}{self._asked()}"
        if draw < 0.65:
            return f"{rng.choice(self._material.questions)}{glue}{self.text()}"
        if draw < 0.85:
            return rng.choice((" ", "\n", "\n\n")).join([self.task(), *(self.line("conditions") for _ in range(rng.randint(0, 3)))])
        if draw < 0.95:
            return rng.choice(("\n", "\n\n", " ")).join(self.task() for _ in range(rng.randint(2, 5)))
        return f"{self.task()}{glue}{self.text()}{glue}{self.line('conditions')}"
