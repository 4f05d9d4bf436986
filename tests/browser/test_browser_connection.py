"""Losing the connection: what is kept, what is said, and that a resumed answer repeats and loses nothing."""

from __future__ import annotations

import pytest

from tests.browser.browser_driver import THINNERS, Run


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.85])
def test_a_cut_connection_is_resumed_without_text_twice(run: Run, share: float) -> None:
    seen = run("cut", question=THINNERS, share=share)
    assert "Connection lost." in seen["banner"]
    assert "kept" in seen["banner"]
    assert seen["during"] == "running"
    assert seen["after"] == "Connected again."
    assert seen["outcome"] in ("answered", "partial")
    assert seen["resumed"]["text"].startswith(seen["kept"]["text"])
    assert seen["resumed"] == seen["stored"], "what was resumed is what the log holds"
    assert seen["turns"] == 1


def test_offline_is_said_and_the_answer_comes_when_it_ends(run: Run) -> None:
    seen = run("offline", question=THINNERS, share=0.5)
    assert "You are offline." in seen["banner"]
    assert seen["outcome"] in ("answered", "partial")
    assert seen["resumed"] == seen["stored"]


@pytest.mark.parametrize("within", [False, True], ids=["first question", "second question"])
@pytest.mark.parametrize("share", [0, 0.5])
def test_a_running_answer_goes_on_after_a_reload(run: Run, share: float, within: bool) -> None:
    seen = run("reloadRunning", question=THINNERS, share=share, within=within)
    assert seen["before"] == "running"
    assert seen["outcome"] in ("answered", "partial")
    assert seen["resumed"] == seen["stored"]
    assert seen["turns"] == 1 + within


def test_a_session_that_is_not_taken_is_replaced_in_silence(run: Run) -> None:
    seen = run("expiredSession", question=THINNERS)
    assert seen["outcome"] in ("answered", "partial")
    assert seen["replaced"]
