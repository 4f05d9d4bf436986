"""Garbage of every kind is found, and clean text that looks odd passes: each method alone, and loops across segments."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import pytest

from services.guard.output.garbage import Repeats, garbage
from services.guard.output.plausibility import implausible
from tests.unit.guard.guard_parts import ROOT

DATA = ROOT / "tests" / "data" / "guard" / "output"


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").split("\n") if line]


def test_awkward_clean_text_passes() -> None:
    clean = rows("awkward.jsonl")
    assert len(clean) > 200
    held = [row["text"] for row in clean if garbage(row["text"])]
    # A sentence without a vowel, written down so that a second one is seen.
    assert held == ["Vlk zmrzl, zhltl hrst zrn."]


def test_garbage_is_found_whatever_made_it() -> None:
    broken = rows("garbage.jsonl")
    missed = Counter(row["kind"] for row in broken if not garbage(row["text"]))
    total = Counter(row["kind"] for row in broken)
    assert sum(missed.values()) <= 0.01 * len(broken)
    assert all(missed[kind] <= 0.05 * total[kind] for kind in total)


def test_sentences_of_the_corpus_are_no_garbage() -> None:
    texts = {row["text"] for row in rows("pairs.jsonl") if row["label"] == "faithful"}
    assert [text for text in texts if garbage(text)] == []


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("CBD is aaaaaaaaaaaaaaaaaaaaaa", "garbage.characters"),
        ("CBD oil oil oil oil oil oil oil", "garbage.words"),
        ("of the oil and of the oil and of the oil and of the oil and", "garbage.words"),
        ("@#$% ^&*( )_+{ }|:< >?~`", "garbage.signs"),
        ("GrÃ¶ÃŸe und Ãœbelkeit", "garbage.encoding"),
        ("РџСЂРёРІРµС‚, РјРёСЂ", "garbage.encoding"),
        ("The dose is \ufffd\ufffd mg.", "garbage.encoding"),
        ('<div class="answer">It is legal', "garbage.markup"),
        ("?!?! ... !!", "garbage.sentence"),
        ("Dear {{name}}, the dose is 10 mg.", "garbage.template"),
        ("The dose [PAD] [PAD] is", "garbage.template"),
        ("xkqjv zpfwb mnbvq wrtkl hjdsf qqzxk", "garbage.letters"),
        ("щкъъй фзжпщ хъыцв бшщзк гхцчщ ыъфжэ", "garbage.letters"),
    ],
)
def test_each_method_finds_its_own(text: str, rule: str) -> None:
    assert rule in [found.rule for found in garbage(text)]


def test_a_place_lies_inside_the_text() -> None:
    for row in rows("garbage.jsonl"):
        for found in garbage(row["text"]):
            assert 0 <= found.start <= found.end <= len(row["text"]), row
            assert found.score >= 1


def test_every_language_is_plausible_and_keys_struck_at_random_are_not() -> None:
    rng = random.Random(4)
    struck = [" ".join("".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=6)) for _ in range(8)) for _ in range(100)]
    assert sum(implausible(text) >= 1 for text in struck) >= 98
    kinds = ("german", "russian", "polish", "turkish", "dutch", "french")
    clean = [row["text"] for row in rows("awkward.jsonl") if row["kind"] in kinds]
    assert max(map(implausible, clean)) < 1


def test_letters_shuffled_within_words_have_no_order_in_any_language_and_languages_without_a_table_have_one() -> None:
    known = ("Die Katze saß auf der Fensterbank und sah den Vögeln zu, die am Morgen über den Hof flogen.",
             "Кошка сидела на подоконнике и смотрела на птиц, которые утром летели через двор.",
             "El gato estaba sentado junto a la ventana y miraba los pájaros que volaban por la mañana.")  # fmt: skip
    unknown = ("Kissa istui ikkunalaudalla ja katseli lintuja, jotka lensivät pihan yli aamulla.",
               "A macska az ablakpárkányon ült, és a madarakat nézte, amelyek reggel átrepültek az udvar fölött.",
               "Katten satt på fönsterbrädan och tittade på fåglarna som flög över gården på morgonen.",
               "Кіт сидів на підвіконні й дивився на птахів, що летіли над подвір'ям уранці.",
               "Paka alikaa dirishani akitazama ndege waliokuwa wakiruka juu ya uwanja asubuhi.",
               "Roedd y gath yn eistedd ar sil y ffenestr ac yn gwylio'r adar yn hedfan dros y buarth yn y bore.")  # fmt: skip
    assert [text for text in (*known, *unknown) if implausible(text) >= 1] == []
    rng = random.Random(5)
    for text in known:
        shuffled = [" ".join("".join(rng.sample(word, len(word))) for word in text.lower().split()) for _ in range(20)]
        assert sum(implausible(one) >= 1 for one in shuffled) >= 18, text


@pytest.mark.parametrize(
    "text",
    [
        'The decoder begins with the token "<bos>" and stops at "<eos>".',
        "$$\\frac{P(h_1 | d)}{P(h_0 | d)} = \\frac{0.75}{0.25} = 3 $$",
        'Send it to <a class="email" href="mailto:a@example.org"><em>a@example.org</em></a> on Monday.',
        "Python writes %s or %(name)s where others write ${name}.",
        "Use %s placeholders and never join strings.",
        "Say that [name of defendant] was a doctor.",
        "- r5 90.7, r20 94.2, mrr10 0.823\n- r5 93.0, r20 94.2, mrr10 0.832\n- r5 90.7, r20 94.2, mrr10 0.829",
        "| Low | Low | Low | Medium | Low | Low | Low",
        "##### [1] REQUEST",
    ],
)
def test_what_is_written_about_marks_and_places_is_no_garbage(text: str) -> None:
    assert garbage(text) == []


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("A trial was designed around that around that around that around that around that", "garbage.words"),
        ("Lead was found in 42 percent, arsenic in 28 28 28 28 28 28 28 28", "garbage.words"),
        ("The liver has stopped ${value}", "garbage.template"),
        ("Oil droplets can inflame the {{ user.name }}", "garbage.template"),
        ("Th ndcnnbnd systm tks prt n mplnttn f th mbry nd n th grwth f th ftl brn.", "garbage.letters"),
        ("eht sbeinpgirrc tormaniionf for ideopxlie atsste ahtt the ecirspe eutnzraisie si k.wnnonu", "garbage.letters"),
    ],
)
def test_what_is_left_of_a_broken_end_is_garbage(text: str, rule: str) -> None:
    assert rule in [found.rule for found in garbage(text)]


def test_a_segment_that_comes_again_is_a_loop() -> None:
    repeats = Repeats()
    texts = ("It is sold as oil in shops.", "it is SOLD as oil, in shops!", "Yes.", "Yes.")
    assert [repeats.add(text) for text in texts] == [0, 1, 0, 0]
