"""The guard's section of RESULTS.md: made from two runs, replaced in place, carried over when the rest is measured anew."""

from __future__ import annotations

from bench.guard import BEGIN, END, carried, replaced, section
from cli.evaluation.guard import Group, GuardRun


def _run(kind: str, *groups: Group) -> GuardRun:
    return GuardRun("document" if kind == "document" else "question", 1.0, 200.0, 900.0, list(groups), [], 1.0)


QUESTIONS = _run(
    "question",
    Group("chat:LMSYS", "en", "benign", 100, 1, 0.01, 0.002, 0.054),
    Group("qualifire", "en", "benign", 100, 0, 0.0, 0.0, 0.037),
    Group("own", "de", "attack", 50, 48, 0.96, 0.865, 0.989),
)
DOCUMENTS = _run("document", Group("bipia:mail", "en", "attack", 40, 30, 0.75, 0.6, 0.858))


def test_groups_are_pooled_and_listed() -> None:
    ruled = _run("document", Group("bipia:mail", "en", "attack", 40, 4, 0.1, 0.04, 0.23))
    text = section(QUESTIONS, DOCUMENTS, {"question": QUESTIONS, "document": ruled})
    assert "| honest chat and questions, pooled | 200 | 0.5% |" in text
    assert "| BIPIA's instructions in them (held-out), any offset | 40 | 75.0% |" in text
    assert "| question | own | de | attack | 50 | 96.0% | 86.5% to 98.9% | 96.0% |" in text
    assert "| document | bipia:mail | en | attack | 40 | 75.0% | 60.0% to 85.8% | 10.0% |" in text


def test_the_section_is_replaced_and_carried_over() -> None:
    page = replaced("# Page\n\nfirst\n", "old\n")
    assert page == f"# Page\n\nfirst\n\n{BEGIN}\nold\n{END}\n"
    assert replaced(page, "new\n") == page.replace("old", "new")
    assert carried(page, "# Page\n\nsecond\n") == page.replace("first", "second")
    assert carried("# Page\n", "# Page\n\nsecond\n") == "# Page\n\nsecond\n"
