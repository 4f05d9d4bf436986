"""Terms and queries: what counts as a word, and when a question leans on the one before."""

from __future__ import annotations

import pytest
from ragmesh.evidence.v1.text_pb2 import Role, Utterance

from services.retriever.query import HISTORY_WEIGHT, MAX_TERMS, make_query
from services.retriever.terms import MAX_TERM_CHARS, terms


def said(text: str, role: Role.ValueType = Role.ROLE_USER) -> Utterance:
    return Utterance(role=role, text=text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("running studies", "run study"),
        ("Café naïve", "cafe naive"),
        ("the patient's doses", "patient dose"),
        ("don’t it's", ""),
        ("ﬁnal", "final"),
        ("исследования", "исследование"),
    ],
)
def test_words_that_are_the_same(one: str, other: str) -> None:
    assert terms(one) == terms(other)


@pytest.mark.parametrize("text", ["", "what is it and why", "?!… — 🙂", "_ __", "the the the"])
def test_nothing_to_search_for(text: str) -> None:
    assert terms(text) == []
    assert make_query(text or " ", []).terms == ()


def test_other_scripts_and_numbers_are_words() -> None:
    assert terms("日本語 5mg 2018 ДНК") == ["日本語", "5mg", "2018", "днк"]
    assert terms("x" * 500) == ["x" * MAX_TERM_CHARS]


def test_й_is_a_letter_and_no_accent() -> None:
    assert terms("йод") == ["йод"]


@pytest.mark.parametrize(
    "question",
    [
        "Which liver enzymes metabolise cannabidiol?",
        "Is it legal to buy CBD oil in Germany?",
        "What is the evidence that cannabidiol helps against anxiety?",
        "CBD dosage",
    ],
)
def test_a_question_that_stands_alone_ignores_history(question: str) -> None:
    query = make_query(question, [said("What is the weather?")])
    assert query.text == question
    assert "weather" not in dict(query.terms)


@pytest.mark.parametrize(
    "question", ["Does it harm the liver badly?", "And for children under twelve?", "Why?", "What about dosage limits?"]
)
def test_a_question_that_refers_back_takes_the_last_one_along(question: str) -> None:
    history = [said("First topic entirely"), said("How does cannabidiol work?"), said("It binds receptors.", Role.ROLE_ASSISTANT)]
    query = make_query(question, history)
    weights = dict(query.terms)
    assert weights["cannabidiol"] == HISTORY_WEIGHT
    assert "topic" not in weights
    assert query.text == f"How does cannabidiol work?\n{question}"


def test_own_words_keep_their_full_weight() -> None:
    query = make_query("Is it stored in fat?", [said("Is fat stored?")])
    assert dict(query.terms) == {"store": 1.0, "fat": 1.0}


def test_terms_are_bounded() -> None:
    assert len(make_query(" ".join(f"word{number}" for number in range(1000)), []).terms) == MAX_TERMS
