"""Rewriting: what a question becomes, step by step and as a whole. What the rules are worth `ragmesh eval search` measures."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from ragmesh.evidence.v1.search_pb2 import QuestionType, RewriteKind
from ragmesh.evidence.v1.text_pb2 import Role, Utterance

from services.retriever.query import BEFORE_WEIGHT
from services.retriever.rewriting.common_words import common_words
from services.retriever.rewriting.expansion import ACRONYM_WEIGHT, acronyms, compounds, with_other_names
from services.retriever.rewriting.follow_up import complete, complete_from_subject, leans
from services.retriever.rewriting.lexicon import Lexicon, definitions, learn
from services.retriever.rewriting.parts import parts_of
from services.retriever.rewriting.plan import Asked
from services.retriever.rewriting.question_type import question_type
from services.retriever.rewriting.rewriter import Rewriter
from services.retriever.rewriting.spelling import apply, corrections

TEXTS = [
    (("Epilepsy",), "Tuberous sclerosis complex (TSC) causes seizures. Cannabidiol was approved for TSC."),
    (("Multiple sclerosis",), "Multiple sclerosis (MS) makes muscles stiff. Nabiximols is a spray for MS."),
    (("Lungs",), "EVALI stands for e-cigarette, or vaping, product use-associated lung injury, an illness of 2019."),
    (("Leber",), "Die Leberwerte und die Leber sind wichtig. Die Werte steigen bei hohen Dosen, die Nebenwirkungen auch."),
    (("Warfarin",), "Warfarin is a blood thinner. The enzyme breaks it down."),
    *((("Other",), f"Filler number {number} about storage and temperature.") for number in range(12)),
]


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    return learn(TEXTS)


def said(*texts: str) -> list[Utterance]:
    """User and assistant in turn."""
    roles = (Role.ROLE_USER, Role.ROLE_ASSISTANT)
    return [Utterance(role=roles[number % 2], text=text) for number, text in enumerate(texts)]


def test_definitions_of_acronyms_are_learned(lexicon: Lexicon) -> None:
    assert lexicon.acronyms == {
        "tsc": ("tuberous sclerosis complex",),
        "ms": ("multiple sclerosis",),
        "evali": ("e-cigarette, or vaping, product use-associated lung injury",),
    }


@pytest.mark.parametrize(
    "text",
    [
        "It was seen in Germany (Berlin) and France.",
        "The result (see Table 2) was small.",
        "A dose (10 mg) was given.",
        "The committee (XQZ) met.",
    ],
)
def test_what_stands_in_brackets_is_not_always_an_acronym(text: str) -> None:
    assert list(definitions(text)) == []


def test_how_often_words_stand_is_counted_by_chunks(lexicon: Lexicon) -> None:
    assert lexicon.chunks == len(TEXTS)
    assert lexicon.words["storage"] == 12
    assert "the" not in lexicon.words
    assert lexicon.says_everywhere("storag")
    assert not lexicon.says_everywhere("warfarin")
    assert 0 < lexicon.german_share < 0.1


@pytest.mark.parametrize(
    ("asked", "spelt"),
    [
        ("Does warfrain thin the blood?", "Does warfarin thin the blood?"),
        ("What is nabixmols?", "What is nabiximols?"),
        ("Warfarn and temperture", "Warfarin and temperature"),
        ("What is the wheather today?", "What is the weather today?"),  # a slip of a common word that the corpus lacks
        ("Who won at Wimbledon?", "Who won at Wimbledon?"),
        ("What does Zyrtec cost in Leeds?", "What does Zyrtec cost in Leeds?"),
        ("Is gold a good investment?", "Is gold a good investment?"),
        ("whats MS", "whats MS"),
        ("dont hve any", "dont hve any"),  # too short
    ],
)
def test_spelling(asked: str, spelt: str, lexicon: Lexicon) -> None:
    assert apply(asked, corrections(asked, lexicon, "en")) == spelt


def test_a_german_compound_of_known_words_is_no_slip(lexicon: Lexicon) -> None:
    assert corrections("Wie hoch sind die Leberdosen?", lexicon, "de") == []
    found = corrections("Welche Nebenwirkugen gibt es?", lexicon, "de")
    assert [(one.before, one.after) for one in found] == [("Nebenwirkugen", "nebenwirkungen")]


def test_nothing_is_corrected_by_an_empty_collection() -> None:
    assert corrections("Does warfrain thin?", Lexicon(), "en") == []


def test_common_words_are_there() -> None:
    assert {"weather", "investment"} <= common_words("en")
    assert common_words("en") < common_words("de")
    assert common_words("fr") == common_words("en")


@pytest.mark.parametrize(
    "question",
    [
        "Which liver enzymes metabolise cannabidiol?",
        "Is it legal to buy CBD oil in Germany?",
        "What is the evidence that cannabidiol helps against anxiety?",
        "How long does CBD stay in the body before it is excreted?",
        "What is winterisation?",
        "CBD dosage",
        "Ist es erlaubt, CBD zu kaufen?",
        "Können Sie mir die Wirkung von CBD erklären?",
    ],
)
def test_a_question_that_stands_alone_ignores_history(question: str) -> None:
    language = "de" if "CBD zu" in question or "mir" in question else "en"
    assert not leans(question, language)
    assert complete(question, said("What is the weather?"), language) is None


@pytest.mark.parametrize(
    ("history", "question", "completed"),
    [
        (
            ("How does cannabidiol work?",),
            "What about its side effects?",
            "How does cannabidiol work? What about its side effects?",
        ),
        (("When was Epidiolex approved?", "In 2018."), "What oil is its base?", "What oil is Epidiolex's base?"),
        (("Tell me about CBD gummies",), "Are they vegetarian?", "Are CBD gummies vegetarian?"),
        (("Can dogs have CBD?",), "How much did they get?", "How much did dogs get?"),
        (
            ("Does CBD help against anxiety?",),
            "And for children under twelve?",
            "Does CBD help against anxiety? And for children under twelve?",
        ),
        (("Is CBD legal?",), "Why?", "Is CBD legal? Why?"),
        (("hi",), "Is it legal?", "Is hi legal?"),
        (
            ("What is a tincture?", "An extract.", "How is it made?"),
            "And how is it stored?",
            "What is a tincture? How is it made? And how is it stored?",
        ),
    ],
)
def test_a_question_that_leans_is_completed(history: Sequence[str], question: str, completed: str) -> None:
    found = complete(question, said(*history), "en")
    assert found is not None
    assert found.text == completed
    assert found.before.startswith(history[0])


@pytest.mark.parametrize(
    ("history", "question", "completed"),
    [
        (("Was ist Cannabidiol?",), "Welche Nebenwirkungen hat es?", "Welche Nebenwirkungen hat Cannabidiol?"),
        (("Wie lagert man CBD-Öl?",), "Und wie lange hält es?", "Wie lagert man CBD-Öl? Und wie lange hält es?"),
        (("Wie wirkt Warfarin?",), "Was sind seine Nebenwirkungen?", "Was sind die Nebenwirkungen (Warfarin)?"),
    ],
)
def test_german_questions_are_completed(history: Sequence[str], question: str, completed: str) -> None:
    found = complete(question, said(*history), "de")
    assert found is not None
    assert found.text == completed


def test_what_the_assistant_said_alone_completes_nothing() -> None:
    history = [Utterance(role=Role.ROLE_ASSISTANT, text="Hello!")]
    assert complete("Is it legal?", history, "en") is None


@pytest.mark.parametrize(
    ("question", "completed"),
    [
        ("Tell me about it", "Tell me about cannabidiol"),
        ("What are its side effects?", "What are cannabidiol's side effects?"),
        ("Is it legal to sell it?", "Is it legal to sell cannabidiol?"),
        ("tell me more", "tell me more about cannabidiol"),
        ("What is winterisation?", None),
        ("Did the oils match their labels?", None),
        ("What was the price on the day Jazz bought it?", None),
        ("Is CBD safe with it?", None),
    ],
)
def test_a_vague_first_question_is_completed_from_the_subject(question: str, completed: str | None) -> None:
    found = complete_from_subject(question, "cannabidiol (CBD)", "en")
    assert (found and found.text) == completed
    assert complete_from_subject(question, "", "en") is None


@pytest.mark.parametrize(
    ("question", "parts"),
    [
        ("How long does CBD last and what are its side effects?", ["How long does CBD last?", "What are CBD's side effects?"]),
        ("Is CBD legal? Also, can dogs have CBD oil?", ["Is CBD legal?", "Can dogs have CBD oil?"]),
        ("Wie wirkt CBD auf die Leber und welche Dosis ist sicher?", ["Wie wirkt CBD auf die Leber?", "Welche Dosis ist sicher?"]),
        ("What do oils and tinctures contain?", []),
        ("Who isolated CBD first and when?", []),
        ("I take warfarin. What should be checked?", []),
        ("Which firms are small and have to pay taxes?", []),
        ("How pure is it and how strong is it and is it legal and can I buy it?", []),
        (
            "How long does CBD stay in the body and what does it cost?",
            ["How long does CBD stay in the body?", "What does CBD cost?"],
        ),
        ("How much does the pump weigh and where is it made?", ["How much does the pump weigh?", "Where is pump made?"]),
    ],
)
def test_two_questions_in_one_are_taken_apart(question: str, parts: list[str]) -> None:
    assert parts_of(question, "de" if question.startswith("Wie wirkt") else "en") == parts


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("What is a tincture?", QuestionType.QUESTION_TYPE_DEFINITION),
        ("Is it legal?", QuestionType.QUESTION_TYPE_YES_NO),
        ("How much CBD is in one puff?", QuestionType.QUESTION_TYPE_QUANTITY),
        ("Since when is it banned?", QuestionType.QUESTION_TYPE_QUANTITY),
        ("Who isolated it first?", QuestionType.QUESTION_TYPE_ENTITY),
        ("How should I store it?", QuestionType.QUESTION_TYPE_PROCEDURE),
        ("Why does it make tired?", QuestionType.QUESTION_TYPE_REASON),
        ("What is the difference between an oil and a tincture?", QuestionType.QUESTION_TYPE_COMPARISON),
        ("cbd dosage", QuestionType.QUESTION_TYPE_KEYWORDS),
        ("Wie viel CBD ist erlaubt?", QuestionType.QUESTION_TYPE_QUANTITY),
        ("Warum macht es müde?", QuestionType.QUESTION_TYPE_REASON),
        ("Ist es legal?", QuestionType.QUESTION_TYPE_YES_NO),
        ("The firms are known by which name among all of them there?", QuestionType.QUESTION_TYPE_UNSPECIFIED),
    ],
)
def test_types_of_questions(question: str, kind: QuestionType.ValueType) -> None:
    assert question_type(question) == kind


def test_acronyms_are_expanded_in_both_directions(lexicon: Lexicon) -> None:
    (long,) = acronyms("Which spray helps MS?", lexicon, "en")
    assert (long.before, long.after, long.weight) == ("MS", "multiple sclerosis", ACRONYM_WEIGHT)
    (short,) = acronyms("Is there a spray for multiple sclerosis?", lexicon, "en")
    assert (short.before, short.after) == ("multiple sclerosis", "MS")
    assert list(acronyms("multiple sclerosis (MS)", lexicon, "en")) == []


EVERYWHERE = learn([((), f"Cannabidiol, usually shortened to CBD, is text {number}.") for number in range(9)] + TEXTS[1:3])


@pytest.mark.parametrize(
    ("question", "named"),
    [
        ("What is CBD?", "What is CBD (cannabidiol)?"),
        ("what is cbd good for", "what is cbd (cannabidiol) good for"),
        ("Does cannabidiol help with MS?", "Does cannabidiol (CBD) help with MS (multiple sclerosis)?"),
        ("What is cannabidiol (CBD)?", "What is cannabidiol (CBD)?"),
        ("What is gold?", "What is gold?"),
    ],
)
def test_models_are_told_the_other_names(question: str, named: str) -> None:
    assert with_other_names(question, EVERYWHERE, "en") == named


def test_models_are_not_told_what_an_acronym_means_in_one_text_of_many() -> None:
    told = [((), "The personal computer (PC) is a machine. The Sarbanes-Oxley act (SOX) is law.")]
    others = [((), f"The red sox play match {number}.") for number in range(300)]
    many = learn([*told, *(((), f"Constable Moss, PC of Hull, saw match {number}.") for number in range(60)), *others])
    few = learn([*told, ((), "A PC is bought."), *others[:30]])
    assert with_other_names("Which PC was it?", many, "en") == "Which PC was it?"
    assert with_other_names("Which PC was it?", few, "en") == "Which PC (personal computer) was it?"
    # In small letters it has to be the acronym nearly always.
    assert with_other_names("Did the red sox win?", few, "en") == "Did the red sox win?"
    assert with_other_names("What does SOX say?", few, "en") == "What does SOX (sarbanes-oxley act) say?"


def test_what_is_cut_out_of_a_longer_name_is_told_to_nobody() -> None:
    cut = learn([((), "The United Kingdom's (UK) law and the Organization of the Petroleum Exporting Countries (OPEC) differ.")])
    assert cut.acronyms["uk"] == ("united kingdom's",)
    assert with_other_names("Is it the UK?", cut, "en") == "Is it the UK?"


def test_what_everything_says_is_searched_by_its_other_name_only_where_nothing_else_is_asked() -> None:
    bare = Rewriter().plan(Asked("What is CBD?", language="en"), EVERYWHERE)
    assert dict(bare.queries[0].terms) == {"cbd": 1.0, "cannabidiol": ACRONYM_WEIGHT}
    assert (bare.text, bare.queries[0].text, bare.queries[0].named) == ("What is CBD (cannabidiol)?", "What is CBD?", bare.text)
    more = Rewriter().plan(Asked("Is CBD legal?", language="en"), EVERYWHERE)
    assert "cannabidiol" not in dict(more.queries[0].terms)
    assert more.queries[0].named == "Is CBD (cannabidiol) legal?"
    plain = Rewriter([RewriteKind.REWRITE_KIND_ACRONYM]).plan(Asked("What is CBD?", language="en"), EVERYWHERE)
    assert (plain.text, plain.queries[0].named) == ("What is CBD?", "")


def test_compounds_are_joined_and_taken_apart(lexicon: Lexicon) -> None:
    assert [(one.before, one.after) for one in compounds("Leberdosen", lexicon)] == [("leberdosen", "leber dosen")]
    assert [(one.before, one.after) for one in compounds("Leber Werte", lexicon)] == [("leber werte", "leberwerte")]
    assert list(compounds("Leberwerte", lexicon)) == []


def test_a_plan_names_every_change(lexicon: Lexicon) -> None:
    asked = Asked("Does nabixmols help MS and why is warfarin dangerous?", said("Hello"), language="en")
    plan = Rewriter().plan(asked, lexicon)
    assert plan.parts == ("Does nabiximols help MS?", "Why is warfarin dangerous?")
    kinds = [change.kind for change in plan.changes]
    assert kinds == [RewriteKind.REWRITE_KIND_SPELLING, RewriteKind.REWRITE_KIND_PARTS, RewriteKind.REWRITE_KIND_ACRONYM]
    assert [query.text for query in plan.queries] == list(plan.parts)
    assert plan.whole is not None
    assert {term for query in plan.queries for term, _ in query.terms} <= {term for term, _ in plan.whole.terms}
    assert plan.text == "Does nabiximols help MS (multiple sclerosis) and why is warfarin dangerous?"
    assert (plan.language, plan.leans) == ("en", False)


def test_each_way_can_be_left_out(lexicon: Lexicon) -> None:
    asked = Asked("Does nabixmols help MS and why is warfarin dangerous?", language="en")
    every = {change.kind for change in Rewriter().plan(asked, lexicon).changes}
    for kind in every:
        assert kind not in {change.kind for change in Rewriter([kind]).plan(asked, lexicon).changes}
        one_search = Asked(asked.question, language="en", without=frozenset({kind}))
        assert kind not in {change.kind for change in Rewriter().plan(one_search, lexicon).changes}
    plan = Rewriter(every).plan(asked, lexicon)
    assert (plan.changes, plan.text, len(plan.queries)) == ((), asked.question, 1)


def test_a_second_search_asks_by_the_telling_words_as_one_query(lexicon: Lexicon) -> None:
    asked = Asked("Does nabiximols help MS and why is warfarin dangerous?", language="en", reformulate=True)
    plan = Rewriter().plan(asked, lexicon)
    assert next(change.kind for change in plan.changes) == RewriteKind.REWRITE_KIND_REFORMULATION
    assert (plan.parts, plan.whole, len(plan.queries)) == ((), None, 1)
    named = "Does nabiximols help MS (multiple sclerosis) and why is warfarin dangerous?"
    assert (plan.text, plan.language, plan.queries[0].named) == (named, "en", named)
    assert {"nabiximol", "warfarin"} & {term for term, _ in plan.queries[0].terms}
    assert (plan.queries[0].asked, plan.queries[0].text != asked.question) == (asked.question, True)


def test_a_follow_up_is_searched_with_what_it_leans_on(lexicon: Lexicon) -> None:
    plan = Rewriter().plan(Asked("Is it a blood thinner?", said("What does warfarin treat?")), lexicon)
    assert plan.text == "Is warfarin a blood thinner?"
    assert dict(plan.queries[0].terms) == {"warfarin": 1.0, "blood": 1.0, "thinner": 1.0, "treat": BEFORE_WEIGHT}
    assert plan.queries[0].text == "What does warfarin treat?\nIs warfarin a blood thinner?"
    joined = Rewriter().plan(Asked("What about blood?", said("What does warfarin treat?")), lexicon)
    assert dict(joined.queries[0].terms) == {"blood": 1.0, "warfarin": BEFORE_WEIGHT, "treat": BEFORE_WEIGHT}


def test_what_names_nothing_and_leans_on_nothing_says_so(lexicon: Lexicon) -> None:
    assert Rewriter().plan(Asked("what about it?"), lexicon).leans
    assert not Rewriter().plan(Asked("what about it?", subject="warfarin"), lexicon).leans
    assert not Rewriter().plan(Asked("warfarin"), lexicon).leans
