"""Access for everyone: axe in every state, 320 pixels, targets, speech, forced colours."""

from __future__ import annotations

import pytest

from tests.browser.browser_driver import THINNERS, Run

STATES = {
    "empty", "unreachable", "connection", "thinking", "streaming", "answered", "partial", "abstained", "clarification", "blocked",
    "stopped", "degraded", "retracted", "failed", "rate-limited", "in-progress", "connection-gave-up", "panel-passage",
}  # fmt: skip


@pytest.mark.parametrize("width", [1280, 320])
@pytest.mark.parametrize(("scheme", "locale"), [("light", "en-GB"), ("dark", "de-DE")])
def test_axe_finds_nothing_in_any_state(run: Run, scheme: str, locale: str, width: int) -> None:
    seen = run("axeStates", scheme=scheme, locale=locale, width=width)
    assert set(seen["states"]) >= STATES
    assert seen["violations"] == []
    assert seen["wide"] == {"scrolls": False, "elements": []}


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)])
def test_axe_finds_nothing_in_the_product(run: Run, scheme: str, width: int) -> None:
    assert run("axeMain", question=THINNERS, scheme=scheme, width=width)["violations"] == []


def test_320_pixels_need_no_sideways_scrolling(run: Run) -> None:
    long = f"{THINNERS} {'Donaudampfschifffahrtsgesellschaftskapitän' * 3}"
    for place, seen in run("narrow", question=THINNERS, longQuestion=long)["seen"].items():
        assert seen == {"scrolls": False, "elements": []}, place


@pytest.mark.parametrize("touch", [False, True], ids=["mouse", "finger"])
def test_targets_are_large_enough(run: Run, touch: bool) -> None:
    assert run("targets", question=THINNERS, touch=touch)["small"] == []


def test_stages_and_whole_sentences_are_spoken_once(run: Run) -> None:
    seen = run("spoken", question=THINNERS)
    assert seen["log"] == {"live": "off", "label": "Questions and answers"}
    assert any(said.startswith(("Searching", "Reading")) for said in seen["said"])
    assert len(set(seen["said"])) == len(seen["said"])
    spoken = " ".join(seen["said"])
    for sentence in seen["sentences"]:
        assert spoken.count(sentence.strip()) == 1


def test_forced_colours_and_reduced_motion(run: Run) -> None:
    seen = run("forcedColours", question=THINNERS)
    assert seen["border"] == "solid"
    assert seen["moving"] == "none"
