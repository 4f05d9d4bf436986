"""Honest headings, advice and warnings as documents have them, in eleven languages: to the reader, not to the assistant.

Wordings are those of injection_advice.yaml and injection_questions.yaml. Takes chance, gives texts.
"""

from __future__ import annotations

import random
import re
from pathlib import Path

import yaml

_TEXTS: dict[str, dict[str, list[str]]] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
_ASKED: dict[str, dict[str, list[str]]] = yaml.safe_load(
    Path(__file__).with_name("injection_questions.yaml").read_text(encoding="utf-8")
)
_CHOICE = re.compile(r"\[([^\[\]]*\|[^\[\]]*)\]")
_MARKS = ("- ", "* ", "1. ", "", "", "> ")


def heading(rng: random.Random, lang: str) -> str:
    """A heading."""
    return _drawn(rng, _TEXTS[lang]["headings"])


def advice(rng: random.Random, lang: str) -> str:
    """A sentence of advice, or a warning."""
    return _drawn(rng, _TEXTS[lang]["advice"])


def question(rng: random.Random, lang: str, title: str | None = None) -> str:
    """A question or a title as pages of questions and guides have them.

    Args:
        title: what it is about; None: a topic of the language.
    """
    asked = _ASKED[lang]
    text = _drawn(rng, asked["forms"])
    while "{t}" in text:
        text = text.replace("{t}", rng.choice(asked["topics"]) if title is None else title, 1)
    text = text.replace("{a}", rng.choice(asked["actions"]))
    # As a title is written: what a form begins with may be a topic.
    return text if rng.random() < 0.1 else text[:1].upper() + text[1:]


def report(rng: random.Random, lang: str) -> str:
    """A sentence that tells of an attack."""
    return _drawn(rng, _ASKED[lang]["reports"])


def label(rng: random.Random, lang: str) -> str:
    """What is numbered: a note, an entry, a page."""
    return rng.choice(_ASKED[lang]["labels"])


def numbered(rng: random.Random, lang: str, label: str, number: int) -> str:
    """A title with a number, or a short sentence of one: `Note number 10.`, `Seite 3`."""
    asked = _ASKED[lang]
    words = [label, *([rng.choice(asked["number"])] if rng.random() < 0.5 else [])]
    mark = rng.choice((".", ".", "", "", ":", f"/{number + rng.randint(0, 30)}", f" – {rng.choice(asked['topics'])}"))
    text = f"{' '.join(words)} {number}{mark}"
    return text.lower() if rng.random() < 0.15 else text


def page(rng: random.Random, lang: str, title: str) -> str:
    """Headings over lists of advice, under a path of titles as a passage of a document has it."""
    lines = [title, heading(rng, lang), ""] if rng.random() < 0.7 else [f"# {title}", ""]
    for _ in range(rng.randint(1, 3)):
        if rng.random() < 0.5:
            lines += [f"{rng.choice(('##', '###', ''))} {heading(rng, lang)}".strip(), ""]
        mark = rng.choice(_MARKS)
        told = [f"{mark}{advice(rng, lang)}" for _ in range(rng.randint(1, 5))]
        lines += told if mark else [" ".join(told)]
    return "\n".join(lines)


def _drawn(rng: random.Random, lines: list[str]) -> str:
    text = rng.choice(lines)
    while "[" in text:
        text = _CHOICE.sub(lambda match: rng.choice(match[1].split("|")), text)
    return text.strip()
