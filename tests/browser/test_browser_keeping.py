"""What the client keeps: transcript, draft, scroll, conversations, opinions, language, appearance."""

from __future__ import annotations

from tests.browser.browser_driver import THINNERS, Run, words

SLEEP = "Does CBD help with sleep?"


def test_a_reload_restores_everything(run: Run) -> None:
    seen = run("reload", questions=[THINNERS, SLEEP])
    assert seen["after"] == seen["before"]
    assert seen["before"]["draft"] == "a draft that is not sent"
    assert seen["marked"]


def test_conversations_are_listed_opened_and_deleted(run: Run) -> None:
    seen = run("conversations", questions=[THINNERS, SLEEP])
    assert seen["listed"] == [SLEEP, THINNERS]
    assert seen["opened"] == THINNERS
    assert "cannot be undone" in seen["question"]
    assert seen["cancelled"] == 2
    assert seen["left"] == [THINNERS]
    assert seen["empty"]


def test_an_opinion_is_kept_and_an_answer_copied_with_its_sources(run: Run) -> None:
    seen = run("opinion", question=THINNERS)
    assert seen["note"].startswith("Thank you")
    assert seen["pressed"] == "true"
    body, sources = seen["copied"].split("\n\nSources:\n")
    assert "[1]" in body
    assert sources.startswith("[1] ")
    assert words(seen["text"])[:60] in words(body)


def test_language_and_appearance_are_kept_without_a_flash(run: Run) -> None:
    seen = run("preferences", question=THINNERS)
    assert seen["german"] == "de"
    assert seen["english"] == {"lang": "en", "send": "Send", "turns": 1}
    assert seen["after"] == {"background": seen["dark"], "firstFrame": "dark", "lang": "en"}


def test_the_keys(run: Run) -> None:
    seen = run("keys", questions=[THINNERS, SLEEP])
    assert seen["slash"] == "TEXTAREA"
    assert seen["newline"] == "\n"
    assert seen["typed"] == "a[b]?/", "keys of one character are text where text is typed"
    assert (seen["next"], seen["previous"]) == ("0", "0")
    assert seen["escaped"].startswith("cite")
    assert (seen["down"], seen["up"]) == (SLEEP, THINNERS)
    assert "New conversation" in seen["help"]
    assert seen["off"] == 0, "keys of one character can be turned off"


def test_on_a_phone_back_closes_the_sources(run: Run) -> None:
    seen = run("sheet", question=THINNERS)
    opened = seen["opened"]
    assert (opened["role"], opened["modal"], opened["inert"]) == ("dialog", "true", True)
    assert (opened["left"], opened["width"], opened["bottom"]) == (0, *opened["window"])
    assert not seen["shown"]
    assert seen["sameAddress"]
    assert seen["turns"] == 1


def test_a_reader_who_looks_elsewhere_is_not_pulled_along(run: Run) -> None:
    seen = run("jump", questions=[THINNERS, SLEEP])
    assert seen["stayed"] == 0
    assert seen["end"] <= 1
