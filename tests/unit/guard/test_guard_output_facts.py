"""What people write of a study in three languages: right retellings that nothing may speak against, and wrong ones that something
must."""

from __future__ import annotations

import pytest

from services.guard.output import persona
from services.guard.output.claims import sentences
from services.guard.output.garbage import garbage
from services.guard.output.hallucination import Given, lacks

EVIDENCE = {
    "en": "In the study of Harrow and colleagues, 312 adults took 3 mg of melatonin thirty minutes before bed. They fell asleep "
    "7.2 minutes earlier than those on a placebo. The study ended on 9 June 2019. It does not help against jet lag westward. "
    "Dr. Lena Harrow said: “We saw no serious side effects.” Call +45 33 12 40 77. A box holds 60 tablets. See sleepfund.com.",
    "de": "In der Studie nahmen 312 Erwachsene dreißig Minuten vor dem Schlafengehen 3 mg Melatonin. Die Studie endete am "
    "9. Juni 2019. Lena Harrow sagte: „Wir sahen in dieser Gruppe keine ernsten Nebenwirkungen.“ Eine "
    "Packung enthält 60 Tabletten und kostet 12,50 Euro.",
    "ru": "В исследовании 312 взрослых принимали 3 мг мелатонина за тридцать минут до сна. Они засыпали на 7,2 минуты раньше. "
    "В упаковке 60 таблеток, она стоит 12,50 евро.",
}
GIVEN = {language: Given([text]) for language, text in EVIDENCE.items()}


def found(language: str, text: str) -> list[tuple[str, bool]]:
    return [(one.rule, one.hard) for one in lacks(text, GIVEN[language], language)]


@pytest.mark.parametrize(
    ("language", "text"),
    [
        # Tens in words are in figures, too.
        ("en", "They took it 30 minutes before bed."),
        ("de", "Sie nahmen es 30 Minuten vor dem Schlafengehen."),
        ("ru", "Его принимают за 30 минут до сна."),
        ("en", "They took it thirty minutes before bed."),
        ("en", "About thirty thousand people sleep badly."),
        # A telephone number is the same one however it is parted.
        ("en", "Call them on +45 33 124077."),
        ("en", "Call +4533124077."),
        # A day before the tenth is no telephone number.
        ("de", "Die Studie endete am 09.06.2019."),
        # "No," answers; it does not turn round what follows.
        ("en", "No, it does not help against jet lag westward."),
        # Behind a closing German quotation mark a sentence ends: the next one denies nothing.
        ("de", "Eine Packung mit 60 Tabletten kostet 12,50 €."),
        ("ru", "Упаковка из 60 таблеток стоит 12,50 €."),
        ("en", "See www.sleepfund.com for more."),
        ("en", "It can be read by node.js, and costs little.It is cheap."),
    ],
)
def test_a_right_retelling_lacks_nothing(language: str, text: str) -> None:
    assert found(language, text) == []


@pytest.mark.parametrize(
    ("language", "text", "rule", "hard"),
    [
        ("en", "A box holds ninety tablets.", "number", False),
        ("de", "Eine Packung enthält neunzig Tabletten.", "number", False),
        # English has "on" in every sentence: that is no Turkish ten.
        ("en", "The adults took 10 mg on the first day.", "number", True),
        ("en", "See sleepfund.org for more.", "url", True),
        ("en", "See sleepstore.com/melatonin for more.", "url", True),
        ("en", "Call +4533124078.", "contact", True),
        ("de", "Rufen Sie 030 1234567 an.", "contact", True),
        ("ru", "Они засыпали на 7,2 часа раньше.", "unit", True),
    ],
)
def test_a_wrong_retelling_lacks_something(language: str, text: str, rule: str, hard: bool) -> None:
    assert (f"hallucination.{rule}", hard) in found(language, text)


def test_numbers_of_a_telephone_number_are_told_once() -> None:
    assert found("en", "Call +45 33 12 40 78.") == [("hallucination.contact", True)]


def test_no_that_is_no_answer_turns_a_sentence_round() -> None:
    assert ("hallucination.negation", False) in found(
        "en", "No one of the 312 adults took 3 mg of melatonin thirty minutes before bed."
    )


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("I took 3 mg myself last night.", "deed"),
        ("I'll call you back tomorrow.", "deed"),
        ("We'll call you back tomorrow.", "deed"),
        ("We have booked an appointment for you.", "deed"),
        ("Ich habe Ihren Termin gebucht.", "deed"),
        ("Als Arzt rate ich Ihnen zu 3 mg.", "being"),
        ("Meiner Erfahrung nach hilft es.", "experience"),
        ("Меня зовут Юлия.", "name"),
    ],
)
def test_what_an_assistant_cannot_be_or_have_done_is_seen(text: str, rule: str) -> None:
    assert [name for name, _, _ in persona.claims(text, frozenset({"chatcbd"}), "")] == [f"persona.{rule}"]


@pytest.mark.parametrize(
    "text",
    [
        "Als Arzt wird nur zugelassen, wer die Prüfung bestanden hat.",
        "As a doctor knows, melatonin is a hormone.",
        "We know from the study that 312 adults took it.",
        "Later we have to ask whether the dose was sent to the adults.",
    ],
)
def test_what_others_are_or_do_is_not_the_assistants(text: str) -> None:
    assert list(persona.claims(text, frozenset({"chatcbd"}), "")) == []


@pytest.mark.parametrize(
    "text", ["[Hier Datum einfügen] endete die Studie.", "Am [вставьте дату] всё закончилось.", "El [insertar fecha] terminó."]
)
def test_a_place_to_be_filled_is_garbage_in_other_languages_too(text: str) -> None:
    assert [one.rule for one in garbage(text)] == ["garbage.template"]


def test_a_link_that_names_an_order_is_no_place_to_be_filled() -> None:
    assert garbage("Das Bild [hier einfügen](https://example.org/a) zeigt es.") == []


@pytest.mark.parametrize(
    "text",
    [
        # A word that was cut in all ways that there are; the others took the square or the cube of their length.
        "#!$ " + "ab" * 400 + "ß %&* !!! aa1",
        "#!$ " + "a@b" * 5_000 + " aa1B2",
        "abcdefgh" * 2_000,
        "f(" * 8_000,
        "\n" * 16_000 + "1",
        "I am" + " " * 16_000 + "not",
    ],
    ids=["small letters", "at signs", "one word", "brackets", "line ends", "spaces"],
)
def test_a_text_of_any_form_comes_to_its_end(text: str) -> None:
    """Each took seconds, or had no end; a test that hangs here has found another."""
    assert isinstance(garbage(text), list)
    assert isinstance(lacks(text, Given([text]), "en"), list)
    assert list(persona.claims(text, frozenset(), "")) == []


def test_a_sentence_ends_at_closing_marks_of_any_language() -> None:
    for text in ("Er sagte: „Nein.“ Dann ging er.", "Er sagte: »Nein.« Dann ging er.", 'He said: "Never." Then he left.'):
        assert [text[start:end] for start, end in sentences(text)][1:] in (["Dann ging er."], ["Then he left."])
