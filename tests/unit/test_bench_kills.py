"""Figures of kills: runs of one store add up, and their section of RESULTS.md is theirs alone."""

from __future__ import annotations

from bench.killing import Figures
from bench.kills import added, section
from bench.sections import carried, replaced


def run(seed: int, rounds: int, lost: int = 0, back: float = 1.0) -> dict[str, object]:
    return Figures(
        "edge", "retriever", seed, rounds=rounds, acks=rounds * 10, lost=lost, back_p50_s=back, back_max_s=back * 2
    ).as_json()


def test_runs_add_up() -> None:
    both = added(run(1, 40, lost=1, back=3.0), run(2, 10, back=5.0))
    assert (both["rounds"], both["acks"], both["lost"]) == (50, 500, 1)
    assert (both["back_p50_s"], both["back_max_s"]) == (3.0, 10.0)
    assert (both["store"], both["seed"]) == ("edge", 2)


def test_a_section_is_replaced_and_carried_over() -> None:
    page = "# Page\n\n<!-- guard: begin -->\nold guard\n<!-- guard: end -->\n"
    with_kills = replaced(page, "kills", section({"edge, retriever": run(1, 40)}))
    assert "| edge | retriever | 40 |" in with_kills
    again = replaced(with_kills, "kills", section({"edge, retriever": run(1, 50)}))
    assert "| edge | retriever | 50 |" in again
    assert "| edge | retriever | 40 |" not in again
    assert "old guard" in again
    fresh = carried(again, "# New page\n")
    assert fresh.startswith("# New page\n")
    assert "old guard" in fresh
    assert "| edge | retriever | 50 |" in fresh
