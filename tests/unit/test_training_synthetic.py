"""Synthetic questions: what the rules ask about plain sentences, what they refuse, and that answers are ranges of the passage."""

from __future__ import annotations

import random
import re

import pytest

from training import synthetic_noise
from training.synthetic import Text, Triple, keep, searches, triples, word_f1
from training.synthetic_clause import Asked
from training.synthetic_filter import good
from training.synthetic_sources import respace
from training.synthetic_words import base_of

HURD = (
    "Yasmin Hurd and colleagues published the best-known opioid study in the American Journal of Psychiatry in 2019. "
    "The Hurd trial included 42 people with heroin use disorder who were abstinent. "
    "The 200 mg dose was dropped during the Freeman trial because it was judged ineffective at an interim analysis."
)


def asked(text: str, title: str = "", heading: str = "") -> dict[str, str]:
    """Question -> answer of every question as the rules write it."""
    document = Text("test", title, [(heading, text)])
    return {row.question: row.passage[slice(*row.answers[0])] for row in triples([document], copies=0)}


@pytest.mark.parametrize(
    ("title", "text", "question", "answer"),
    [
        ("", HURD, "How many people did the Hurd trial include with heroin use disorder?", "42"),
        (
            "",
            HURD,
            "Why was the 200 mg dose dropped during the Freeman trial?",
            "because it was judged ineffective at an interim analysis",
        ),
        ("Lothair II", "Lothair II (835 – 869) was the king of Lotharingia.", "When did Lothair II die?", "869"),
        (
            "The Eagle's Eye",
            "The Eagle's Eye is a 1918 American film. It was directed by George Lessey.",
            "Who directed The Eagle's Eye?",
            "George Lessey",
        ),
        (
            "Etan Boritzer",
            "Etan Boritzer is an American writer. He was born in Berlin on May 4, 1950.",
            "When was Etan Boritzer born in Berlin?",
            "May 4, 1950",
        ),
        ("", "In 2008 Tata Motors purchased Jaguar Land Rover from Ford.", "Who did Tata Motors purchase?", ""),
    ],
)
def test_a_plain_sentence_is_asked_for_what_it_says(title: str, text: str, question: str, answer: str) -> None:
    found = asked(text, title)
    if answer:
        assert found.get(question) == answer, found
    else:
        assert question not in found


def test_a_heading_asks_for_its_part_of_the_title() -> None:
    text = "Diarrhoea and tiredness were seen most often in trials of cannabidiol. Most effects were mild."
    found = asked(text, "Cannabidiol", "Side effects")
    assert found["What are the side effects of Cannabidiol?"] == text.partition(". ")[0] + "."
    assert "Is CBD addictive?" in asked(text, "CBD", "Is CBD addictive?")


def test_answers_are_ranges_of_the_passage_and_do_not_stand_in_the_question() -> None:
    long = " ".join([HURD] * 8)
    for row in triples([Text("test", "CBD and addiction", [("", long)])], copies=0):
        start, end = row.answers[0]
        answer = row.passage[start:end]
        assert answer == answer.strip() != ""
        assert answer.lower() not in row.question.lower()
        assert len(row.passage) <= 1_400


def test_the_answer_to_a_heading_may_begin_behind_a_bullet_of_a_long_section() -> None:
    text = "- The first thing to know is how strong an oil is.\n\n" + "\n\n".join([HURD] * 8)
    assert asked(text, "CBD", "Is CBD addictive?")["Is CBD addictive?"] == "The first thing to know is how strong an oil is."


def test_a_question_that_a_passage_could_answer_in_two_ways_is_not_asked() -> None:
    text = "The Danish study of Smith began in 1990. The Danish study of Smith began in 1995."
    assert not [question for question in asked(text) if "begin" in question]


def test_the_same_seed_gives_the_same_triples_and_another_other_styles() -> None:
    documents = [Text("test", "CBD and addiction", [("", HURD)])] * 5
    first, again, other = (list(triples(documents, seed=seed)) for seed in (1, 1, 2))
    assert first == again
    assert [row.question for row in first] != [row.question for row in other]
    assert len(list(triples(documents, limit=3))) == 3


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What did he write?", "a novel"),
        ("Who wrote The?", "Adam Smith"),
        ("What is the Rhine?", "the Rhine"),
        ("When was the film released?", "2001"),
        ("What did the trial of Hurd show?", "it"),
    ],
)
def test_what_does_not_stand_alone_is_refused(question: str, answer: str) -> None:
    assert not good(Asked(question, 0, len(answer), "object"), answer)


def test_a_search_is_a_few_words_of_its_sentence() -> None:
    found = list(searches([Text("test", "CBD", [("", HURD)])]))
    assert len(found) == 3
    for row in found:
        assert 3 <= len(row.question.split()) <= 5
        assert row.question == row.question.lower()
        answer = row.passage[slice(*row.answers[0])]
        assert answer in HURD
        known = set(re.findall(r"[\w-]+", answer.lower())) | set(synthetic_noise.words.SYNONYMS.values())
        assert set(row.question.split()) <= known


@pytest.mark.parametrize("style", synthetic_noise.STYLES)
def test_a_style_keeps_what_is_asked_for(style: str) -> None:
    question = "When did the Military League demand changes in Athens?"
    restyled = synthetic_noise.restyle(question, style, random.Random(3))
    assert restyled
    kept = set(restyled.lower().strip("?").split()) & set(question.lower().strip("?").split())
    assert {"military", "league", "athens"} - kept <= ({"military", "league", "athens"} if style == "slip" else set())
    assert len(kept) >= 4


class Finder:
    """Finds what it is told."""

    def __init__(self, found: str, probability: float) -> None:
        self.found, self.probability = found, probability

    def answers(self, question: str, passage: str, title: str) -> tuple[str, float]:
        return self.found, self.probability


def test_the_round_trip_keeps_what_a_reader_finds_again() -> None:
    row = Triple("When?", "It began in May 1990.", ((12, 20),), "", "when", "test")
    assert list(keep([row], Finder("in May 1990", 0.9))) == [row]
    assert list(keep([row], Finder("in May 1990", 0.2), least=0.5)) == []
    assert list(keep([row], Finder("June", 0.9))) == []
    assert word_f1("", "May") == 0.0


@pytest.mark.parametrize(
    ("verb", "base"),
    [("scored", "score"), ("stopped", "stop"), ("studied", "study"), ("visited", "visit"), ("wrote", "write"), ("written", "write"),
     ("includes", "include"), ("carries", "carry"), ("located", "locate"), ("premiered", "premiere"), ("house-cat", None)],
)  # fmt: skip
def test_verbs_lose_their_endings(verb: str, base: str | None) -> None:
    assert base_of(verb) == base


def test_spaces_of_tokenised_text_are_undone() -> None:
    assert respace('Teutberga( died 875 ) wrote " What is it? " for children \'s sake') == (
        'Teutberga (died 875) wrote "What is it?" for children\'s sake'
    )
