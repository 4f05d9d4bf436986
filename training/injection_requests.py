"""Honest requests as people put them to assistants: what to do, about what, under which conditions, with what to work on.

Conditions forbid, demand roles and speak of instructions as attacks do; that is what the classifier has to learn apart.
Written here,
nothing is copied from a data set. Takes texts, gives texts.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import yaml

from training.injection_material import Material

_PHRASES: dict[str, list[str]] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
HEADS, _CONDITIONS, _ROLES = _PHRASES["heads"], _PHRASES["conditions"], _PHRASES["roles"]
_LANGUAGES = (
    "Spanish",
    "Hindi",
    "German",
    "French",
    "Japanese",
    "Arabic",
    "Italian",
    "Russian",
    "Korean",
    "Portuguese",
    "Dutch",
    "Turkish",
)
_LABELS = (
    *("Text:", "Context:", "Question:", "Input:", "Document:", "###", "User:", "Article:", "Passage:", "Data:", "Conversation:"),
    *("Notes:", "", "Here is the text:"),
)
_HEX = "0123456789abcdef"
_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


class Requests:
    """Draws honest requests, about the titles, with the words, passages and questions of `material`."""

    def __init__(self, rng: random.Random, material: Material) -> None:
        self._rng = rng
        self._material = material

    def draw(self) -> str:
        """One request."""
        rng = self._rng
        parts = [self._filled(rng.choice(HEADS))]
        parts += [self._filled(one) for one in rng.sample(_CONDITIONS, rng.choice((0, 0, 1, 1, 2, 3, 4, 6)))]
        if rng.random() < 0.25:
            rng.shuffle(parts)
        text = rng.choice((" ", " ", "\n")).join(parts)
        draw = rng.random()
        if draw < 0.22:
            glue = rng.choice(("\n", "\n\n", " "))
            text = f"{text}{glue}{rng.choice(_LABELS)} {rng.choice(self._material.passages)[:1_500]}"
        elif draw < 0.30:
            text = f"{text}\n{rng.choice(_LABELS)} {rng.choice(self._material.questions)}"
        elif draw < 0.36:
            text = f"{rng.choice(self._material.passages)[:1_500]}\n\n{text}"
        elif draw < 0.42:
            text = f"{text}\n{self.blob()}"
        return text.lower() if rng.random() < 0.12 else text

    def brief(self) -> str:
        """A long request: a part to play, rules one by one, examples, something to work on."""
        rng, material = self._rng, self._material
        parts = [self._filled(rng.choice(_ROLES))] if rng.random() < 0.6 else []
        parts += [self._filled(rng.choice(HEADS)) for _ in range(rng.choice((1, 1, 2, 3)))]
        rules = [self._filled(one) for one in rng.sample(_CONDITIONS, rng.randint(2, 9))]
        mark = rng.choice(("{}. ", "- ", "* ", "{}) ", ""))
        parts.append(rng.choice(("Rules:", "Instructions:", "**Task**", "# Requirements", "Note that:", "Please follow this:", "")))
        parts += [mark.format(number + 1) + rule for number, rule in enumerate(rules)]
        if rng.random() < 0.3:
            parts += [
                f"Example {number + 1}: {rng.choice(material.questions)} -> {rng.choice(material.titles)}" for number in range(2)
            ]
        draw = rng.random()
        if draw < 0.4:
            parts += [rng.choice(_LABELS), rng.choice(material.passages)[:2_000]]
        elif draw < 0.6:
            parts += [rng.choice(_LABELS), self.blob()]
        elif draw < 0.8:
            parts += [f"{rng.choice(_LABELS)} {rng.choice(material.questions)}" for _ in range(rng.randint(1, 4))]
        return rng.choice(("\n", "\n", "\n\n", " ")).join(part for part in parts if part)

    def blob(self) -> str:
        """What has no words: digests, encoded bytes, addresses, identifiers, code, figures."""
        rng, material = self._rng, self._material
        kind = rng.randrange(8)
        if kind == 0:
            return "".join(rng.choice(_HEX) for _ in range(rng.choice((32, 40, 64))))
        if kind == 1:
            return "".join(rng.choice(_BASE64) for _ in range(rng.randint(24, 240))) + rng.choice(("", "=", "=="))
        if kind == 2:
            path = "/".join(rng.choice(material.words).lower() for _ in range(3))
            reference = "".join(rng.choice(_HEX) for _ in range(12))
            return f"https://www.{rng.choice(material.words).lower()}.example/{path}?id={rng.randint(1, 10**6)}&ref={reference}"
        if kind == 3:
            return "-".join("".join(rng.choice(_HEX) for _ in range(n)) for n in (8, 4, 4, 4, 12))
        if kind == 4:
            name, field, number = rng.choice(material.words).lower(), rng.choice(material.words), rng.randint(0, 9)
            test = f"    if x[{number}] != '{field}':\n        return [{name}(y) for y in args]\n"
            return f"def {name}(x, *args):\n{test}    print(len(x) ** 2)\n"
        if kind == 5:
            row = {
                rng.choice(material.words): rng.choice((None, True, number, rng.choice(material.words)))
                for number in range(rng.randint(2, 9))
            }
            return json.dumps(row)
        if kind == 6:
            return "; ".join(f"{rng.choice(material.words)} = {rng.random() * 100:.3f}" for _ in range(rng.randint(3, 12)))
        file, name = rng.choice(material.words), rng.choice(material.words).title()
        return (
            f'Traceback (most recent call last):\n  File "{file}.py", line {rng.randint(1, 900)}, in <module>\n'
            f"{name}Error: '{rng.choice(material.words)}' [{rng.randint(0, 99)}] != <{rng.choice(material.words)}>"
        )

    def _filled(self, line: str) -> str:
        return filled(line, self._rng, self._material)


def filled(line: str, rng: random.Random, material: Material) -> str:
    """`line` with its slots filled."""
    titles, words = material.titles, material.words
    word = rng.choice(words)
    return (
        line.replace("{t2}", rng.choice(titles))
        .replace("{t}", rng.choice(titles))
        .replace("{w2}", rng.choice(words).lower())
        .replace("{w}", word.lower())
        .replace("{W}", word.title())
        .replace("{n}", str(rng.choice((50, 100, 150, 200, 300, 500, 1000, 2000))))
        .replace("{k}", str(rng.randint(2, 12)))
        .replace("{l}", rng.choice(_LANGUAGES))
    )
