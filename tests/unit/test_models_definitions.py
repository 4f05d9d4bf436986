"""Questions for a definition, and what looks like one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ragmesh_models.answering import Answerer
from ragmesh_models.definitions import FILE, NAMES, DefinitionScorer, asked_term, described
from ragmesh_models.lexical import words_of
from ragmesh_models.ranking import Ranker

REPOSITORY = Path(__file__).resolve().parents[2] / "deploy" / "triton" / "model_repository"


@pytest.mark.parametrize(
    ("question", "term"),
    [
        ("What is cannabidiol?", "cannabidiol"),
        ("what's hemp", "hemp"),
        ("What are the cannabinoids?", "cannabinoids"),
        ("Who was Raphael Mechoulam?", "raphael mechoulam"),
        ("What does EVALI stand for?", "evali"),
        ("What is meant by a certificate of analysis?", "certificate of analysis"),
        ("Was ist ein Terpen?", "terpen"),
        ("Define half-life.", "half life"),
        ("What is the capital of Mongolia?", ""),
        ("What is it used for?", ""),
        ("What is the best oil?", ""),
        ("What is going on here?", ""),
        ("Who was the first to isolate it and when?", ""),
        ("What are hemp oils made of and sold for in shops?", ""),
        ("Is hemp legal?", ""),
        ("", ""),
    ],
)
def test_what_is_to_be_defined(question: str, term: str) -> None:
    assert asked_term(question) == tuple(words_of(term).stems)


def marks(sentence: str, term: str = "cannabidiol", title: str = "Oils", position: int = 0) -> set[str]:
    stems = tuple(words_of(term).stems)
    parts = [frozenset(words_of(part).stems) for part in title.split(" > ")]
    found = described(words_of(sentence).stems, stems, position, parts, set(stems))
    return {name for name, value in zip(NAMES, found or (), strict=False) if value}


@pytest.mark.parametrize(
    ("sentence", "has", "lacks"),
    [
        ("Cannabidiol is a compound of hemp.", {"begins", "is", "is_a", "is_first"}, {"is_later", "is_not", "modified"}),
        ("The cannabidiol is one of many.", {"begins", "is", "is_a"}, set()),
        ("Cannabidiol, usually shortened to CBD, is one of many.", {"begins", "is_later", "is_a"}, {"is"}),
        ("Cannabidiol or cannabidiol is a compound.", {"is", "is_a"}, set()),  # two names that read as one
        ("Cannabidiol is not a drug.", {"is", "is_not"}, {"is_a"}),
        ("Cannabidiol, a compound of hemp, was found late.", {"apposition"}, {"is"}),
        ("Pure cannabidiol is a solid.", {"here", "modified"}, {"begins", "is"}),
        ("Doctors say that it helps.", set(), {"here", "begins"}),
        ("Cannabidiol dissolves in oil.", {"here", "begins"}, {"is", "is_later"}),
    ],
)
def test_what_looks_like_a_definition(sentence: str, has: set[str], lacks: set[str]) -> None:
    found = marks(sentence)
    assert has <= found
    assert not lacks & found


def test_a_title_is_the_term_or_not() -> None:
    assert {"title", "title_first", "section_first"} <= marks("It is old.", title="Words > Cannabidiol")
    assert "section_first" not in marks("It is old.", title="Cannabidiol > History")
    assert marks("It is old.", title="Cannabidiol > History", position=2) == {"title"}
    assert marks("It is old.", title="Cannabidiol oil") == set()


def test_weights_of_other_features_are_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(json.dumps({"names": ["x"], "weights": [1.0]}), encoding="utf-8")
    with pytest.raises(ValueError, match="other features"):
        DefinitionScorer.load(tmp_path)
    with pytest.raises(ValueError, match="other features"):
        DefinitionScorer([1.0])


def test_the_shipped_weights_prefer_a_definition_and_leave_other_questions_alone() -> None:
    texts = ["Trials of purified zorbin are scarce and too small for firm conclusions.", "Zorbin is a resin of the zorb tree."]
    nothing = np.full((2, 3), np.nan, dtype=np.float32)
    ranker = Ranker(REPOSITORY / "reranker" / "1")
    for question in ("What is zorbin?", "Is zorbin safe in trials?"):
        defined, plain = (rank(question, texts, ["", ""], nothing) for rank in (ranker.lexical, ranker.undefined))
        if question.startswith("What"):
            assert defined[1] - plain[1] > max(0.0, defined[0] - plain[0])
        else:
            np.testing.assert_array_equal(defined, plain)
    answerer = Answerer(REPOSITORY / "answerer" / "1")
    reading = answerer.start("What is zorbin?")
    for text in texts:
        reading.add(text, "")
    assert answerer.decide(reading, 1, "lexical").sentences[0].passage == 1
