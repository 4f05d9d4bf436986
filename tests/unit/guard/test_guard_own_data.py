"""Our own attacks and honest texts: made by their generator, enough of them in each language, no wording on both halves."""

from __future__ import annotations

import importlib.util
import json
import re
from collections import Counter
from typing import Any

import pytest

from tests.unit.guard.guard_parts import ROOT

FOLDER = ROOT / "tests" / "data" / "guard" / "attacks"
LANGUAGES = ("cs", "de", "en", "es", "fr", "it", "nl", "pl", "pt", "ru", "tr")


def rows(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def pieces(text: str) -> frozenset[str]:
    """Its five-letter pieces."""
    plain = re.sub(r"\W+", " ", text.lower())
    return frozenset(plain[place : place + 5] for place in range(len(plain) - 4))


def alike(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / max(1, len(one | other))


def wordings(texts: list[str]) -> int:
    """How many of `texts` share less than half of their pieces with each one before."""
    kept: list[frozenset[str]] = []
    for found in map(pieces, texts):
        if all(alike(found, one) <= 0.5 for one in kept):
            kept.append(found)
    return len(kept)


def test_the_rows_are_what_their_generator_makes() -> None:
    spec = importlib.util.spec_from_file_location("generate", FOLDER / "generate.py")
    assert spec is not None and spec.loader is not None
    generate: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    assert {name: list(made) for name, made in generate.everything().items()} == {
        name: rows(name) for name in ("attacks", "benign")
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_has_enough_of_its_own(language: str) -> None:
    attacks = [row["text"] for row in rows("attacks") if row["lang"] == language]
    honest = [row["text"] for row in rows("benign") if row["lang"] == language]
    assert wordings(attacks) >= 60
    assert wordings(honest) >= 200
    assert max(Counter(attacks + honest).values()) == 1


def test_no_wording_is_on_both_halves() -> None:
    found = [(row["lang"], row["split"], pieces(row["text"])) for row in rows("attacks")]
    assert {split for _, split, _ in found} == {"train", "held_out"}
    for language in LANGUAGES:
        learnt = [made for lang, split, made in found if (lang, split) == (language, "train")]
        held = [made for lang, split, made in found if (lang, split) == (language, "held_out")]
        assert len(held) >= 20
        assert max(alike(one, other) for one in learnt for other in held) < 0.4
