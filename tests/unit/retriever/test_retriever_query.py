"""Terms and queries: what counts as a word in which language, and what each word of a query weighs."""

from __future__ import annotations

import pytest

from services.retriever.indexing_text import index_terms
from services.retriever.languages import analysed, detect
from services.retriever.query import BEFORE_WEIGHT, MAX_TERMS, OTHER_ANALYSIS_WEIGHT, make_query
from services.retriever.terms import MAX_TERM_CHARS, terms, words


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


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Nebenwirkungen der Arznei", "Nebenwirkung Arznei"),
        ("Häuser und Straßen", "Haus Strassen"),
        ("Was ist mit den Studien?", "Studie"),
        ("Oel", "Öl"),
    ],
)
def test_words_that_are_the_same_in_german(one: str, other: str) -> None:
    assert terms(one, "de") == terms(other, "de")


def test_a_stop_word_of_german_is_a_word_in_english() -> None:
    assert terms("how did Caesar die in the war") == ["caesar", "die", "war"]
    assert terms("die Wirkung war also gut", "de") == ["wirkung", "gut"]


@pytest.mark.parametrize("text", ["", "what is it and why", "?!… — 🙂", "_ __", "the the the"])
def test_nothing_to_search_for(text: str) -> None:
    assert terms(text) == []
    assert make_query(text or " ").terms == ()


def test_other_scripts_and_numbers_are_words() -> None:
    assert terms("日本語 5mg 2018 ДНК") == ["日本語", "5mg", "2018", "днк"]
    assert terms("x" * 500) == ["x" * MAX_TERM_CHARS]


def test_й_is_a_letter_and_no_accent() -> None:
    assert terms("йод") == ["йод"]


def test_words_say_where_they_stand() -> None:
    assert list(words("Öl, don’t!")) == [("öl", 0, 2), ("don't", 4, 9)]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("What are the side effects of CBD?", "en"),
        ("Welche Nebenwirkungen hat CBD?", "de"),
        ("Wie lange hält Öl?", "de"),
        ("cbd dosage", "und"),
        ("", "und"),
        ("¿Cuáles son los efectos secundarios del aceite y cómo se toma en la noche sin agua?", "und"),
    ],
)
def test_languages_are_told_by_their_stop_words(text: str, language: str) -> None:
    assert detect(text) == language


def test_a_tag_counts_where_there_are_rules_for_it() -> None:
    assert analysed("de-AT", "what is it") == "de"
    assert analysed("fr", "What is the dose of it?") == "en"
    assert analysed("", "Wie hoch ist die Dosis?") == "de"


def test_a_chunk_is_indexed_by_the_rules_of_its_language() -> None:
    german = index_terms("", ("Leber",), "Die Nebenwirkungen sind bei hohen Dosen nicht selten.")
    assert "nebenwirk" in german
    assert "die" not in german
    assert "studi" in index_terms("", ("Liver",), "The studies were small and did not agree.")


def test_what_a_question_leans_on_counts_less_than_its_own_words() -> None:
    query = make_query("Is it stored in fat?", before="Is fat stored in cells?")
    assert dict(query.terms) == {"store": 1.0, "fat": 1.0, "cell": BEFORE_WEIGHT}
    assert query.text == "Is fat stored in cells?\nIs it stored in fat?"


def test_words_are_added_with_their_weights() -> None:
    query = make_query("MS spray", added={"multiple sclerosis": 0.4, "spray": 0.1})
    assert dict(query.terms) == {"ms": 1.0, "spray": 1.0, "multipl": 0.4, "sclerosi": 0.4}
    assert query.text == "MS spray"


def test_stems_of_another_language_of_the_collection_count_less() -> None:
    query = make_query("Nebenwirkungen", language="de", also=["en"])
    assert dict(query.terms) == {"nebenwirk": 1.0, "nebenwirkungen": OTHER_ANALYSIS_WEIGHT}


def test_terms_are_bounded() -> None:
    assert len(make_query(" ".join(f"word{number}" for number in range(1000))).terms) == MAX_TERMS
