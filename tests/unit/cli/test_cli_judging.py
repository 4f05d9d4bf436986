"""How a turn is shown and judged."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from ragmesh.evidence.v1 import text_pb2
from ragmesh.evidence.v1.evidence_pb2 import Claim, Evidence, EvidenceRef
from ragmesh.evidence.v1.text_pb2 import TextRange
from ragmesh.gateway.v1 import turn_pb2 as pb

from cli.answers import AnswerPrinter, quote_of, stage_words
from cli.errors import CliError
from cli.evaluation.run import as_json
from cli.goldens import Golden, golden_run, judge, percentile, read_goldens, summary
from cli.settings import REPOSITORY
from cli.tools import find_program, fits, read_tools

TEXT = "Gruß: CBD inhibits CYP2C9."
EVIDENCE = Evidence(
    name="e1",
    document="collections/default/documents/d",
    title_path=["Blood thinners", "Warfarin"],
    text=TEXT,
    spans=[TextRange(start=100, end=107), TextRange(start=200, end=200 + len(TEXT.encode()) - 7)],
    source_uri="interactions/a.md",
)


def event(**kind: object) -> pb.TurnEvent:
    return pb.TurnEvent(turn="conversations/c/turns/t", **kind)


def claim(start: int, end: int, evidence: str = "e1") -> Claim:
    return Claim(range=TextRange(start=0, end=5), refs=[EvidenceRef(evidence=evidence, quotes=[TextRange(start=start, end=end)])])


def test_quotes_are_bytes_of_the_document_not_of_the_passage() -> None:
    assert quote_of(EVIDENCE, 100, 105) == "Gruß"
    assert quote_of(EVIDENCE, 200, 203) == "CBD"
    assert quote_of(EVIDENCE, 105, 203) == ":  ... CBD"
    assert quote_of(EVIDENCE, 0, 50) == ""


def test_an_answer_is_printed_with_numbered_citations(capsys: pytest.CaptureFixture[str]) -> None:
    printer = AnswerPrinter()
    printer.event(event(stage=pb.StageEntered(stage=pb.STAGE_SEARCHING, count=63)))
    printer.event(event(evidence=pb.EvidenceFound(evidence=[EVIDENCE])))
    printer.event(event(delta=pb.Delta(start=0, text="One. ")))
    printer.event(event(claim=pb.ClaimMade(claim=claim(200, 203))))
    printer.event(event(delta=pb.Delta(start=5, text="[Two].")))
    printer.event(event(claim=pb.ClaimMade(claim=claim(100, 105))))
    printer.event(event(claim=pb.ClaimMade(claim=claim(100, 105, "unknown"))))
    printer.event(event(finished=pb.TurnFinished(outcome=pb.OUTCOME_ANSWERED)))
    shown = capsys.readouterr()
    assert "One. [1] [Two]. [1]" in shown.out
    assert "[1] Blood thinners > Warfarin  interactions/a.md" in shown.out
    assert shown.out.index('"CBD"') < shown.out.index('"Gruß"')
    assert "Searching 63 documents" in shown.err


def test_a_refusal_and_an_abstention_are_said_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    AnswerPrinter().event(
        event(finished=pb.TurnFinished(outcome=pb.OUTCOME_BLOCKED, block_reason=pb.BLOCK_REASON_INSTRUCTION_OVERRIDE))
    )
    nearest = [pb.NearestDocument(title="Dosing")]
    abstention = pb.Abstention(documents_searched=63, nearest=nearest)
    AnswerPrinter().event(event(finished=pb.TurnFinished(outcome=pb.OUTCOME_ABSTAINED, abstention=abstention)))
    shown = capsys.readouterr().out
    assert "it tries to change my instructions" in shown
    assert "The documents do not say." in shown
    assert "Nearest: Dosing" in shown


@pytest.mark.parametrize("reason", [reason for reason in pb.BlockReason.values() if reason])
def test_every_reason_of_a_refusal_has_words(reason: pb.BlockReason.ValueType, capsys: pytest.CaptureFixture[str]) -> None:
    AnswerPrinter().event(event(finished=pb.TurnFinished(outcome=pb.OUTCOME_BLOCKED, block_reason=reason)))
    assert "it was refused" not in capsys.readouterr().out


def test_stages_without_a_count_and_unknown_ones_are_words_too() -> None:
    assert stage_words(pb.StageEntered(stage=pb.STAGE_READING)) == "Reading passages"
    assert stage_words(pb.StageEntered(stage=99)) == "Working"  # type: ignore[arg-type]  # of a newer gateway


GOLDEN = Golden(
    id="a1", kind="answerable", question="q", answers=("12 %",), document="interactions/a.md", quote="It rose by 12 % in all."
)


def test_an_answer_is_judged_by_what_is_shown_and_cited() -> None:
    finished = pb.TurnFinished(outcome=pb.OUTCOME_ANSWERED)
    turn = pb.Turn(text="It rose  by 12 % in all.", claims=[claim(0, 1)], evidence=[EVIDENCE], finished=finished)
    found = judge(GOLDEN, turn, 0.1, 0.2)
    assert (found.right_outcome, found.shows_answer, found.shows_quote, found.cites_document) == (True, True, True, True)
    uncited = pb.Turn(text="12 %", evidence=[EVIDENCE], finished=finished)
    found = judge(GOLDEN, uncited, 0.1, 0.2)
    assert (found.shows_answer, found.shows_quote, found.cites_document) == (True, False, False)
    abstained = pb.Turn(text="Not 12 %", finished=pb.TurnFinished(outcome=pb.OUTCOME_ABSTAINED))
    found = judge(GOLDEN, abstained, None, 0.2)
    assert (found.right_outcome, found.shows_answer) == (False, False)


def test_small_talk_and_the_unanswerable_are_judged_by_their_outcome() -> None:
    small = Golden(id="a2", kind="small_talk", question="hi", answers=(), template="greeting")
    turn = pb.Turn(finished=pb.TurnFinished(outcome=pb.OUTCOME_ANSWERED), understood=pb.Understood(intent=text_pb2.INTENT_GREETING))
    assert judge(small, turn, 0.1, 0.2).right_outcome
    turn.understood.intent = text_pb2.INTENT_QUESTION
    assert not judge(small, turn, 0.1, 0.2).right_outcome
    never = Golden(id="a3", kind="unanswerable", question="q", answers=(), why="not held")
    assert not judge(never, turn, 0.1, 0.2).right_outcome


def test_the_summary_counts_and_orders() -> None:
    finished = pb.TurnFinished(outcome=pb.OUTCOME_ANSWERED)
    rows = [judge(GOLDEN, pb.Turn(text=text, finished=finished), seconds, seconds) for text, seconds in (("12 %", 0.1), ("x", 0.3))]
    found = summary(rows)
    assert found["answerable"]["count"] == 2
    assert found["answerable"]["shows_answer"] == 0.5
    assert found["latency"]["total_p50"] == 0.1
    assert found["latency"]["total_p95"] == 0.3
    kept = as_json(golden_run(rows, {}, [], 1.0), "x.items.jsonl")
    assert len(kept["questions"]) == 2
    assert (kept["answered"], kept["shows_answer"], kept["abstained"]) == (100, 50, None)
    assert math.isnan(percentile([], 0.5))


def test_the_golden_files_of_the_project_can_be_read() -> None:
    goldens = read_goldens(sorted((REPOSITORY / "goldens").glob("*.jsonl")))
    assert len(goldens) >= 150
    assert len({golden.id for golden in goldens}) == len(goldens)


@pytest.mark.parametrize("content", ["", "{", '{"id": "a"}', '{"id":"a","kind":"other","question":"q","answers":[]}', "\xff"])
def test_a_broken_golden_file_is_one_clear_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "g.jsonl").write_text(content, encoding="latin1")
    with pytest.raises(CliError) as caught:
        read_goldens([tmp_path / "g.jsonl"])
    assert caught.value.remedy


def test_tools_are_named_with_version_source_and_remedy() -> None:
    tools = read_tools()
    assert {"python", "envoy", "triton", "uv", "buf", "node", "chromium", "go", "grpcurl", "phoenix", "weaviate"} == set(tools)
    assert all(tool.source and tool.remedy and tool.licence for tool in tools.values())
    assert find_program("no-such-program") is None
    assert fits("24.19.0", "22.17", minimum=True)
    assert not fits("20.20.2", "22.17", minimum=True)
    assert fits("3.11.7", "3.11", minimum=False)
    assert not fits("1.41.0", "1.40.0", minimum=False)


def test_another_accepted_sentence_counts_as_the_golden_one() -> None:
    own = {
        "id": "x1",
        "kind": "answerable",
        "question": "?",
        "answers": ("in 1742",),
        "document": "b.md",
        "quote": "It stood in 1742.",
    }
    other = {
        "document": "interactions/a.md",
        "quote": "Since 1742 it has stood.",
        "answers": ("Since 1742",),
        "why": "the same year",
    }
    turn = pb.Turn(
        text="Since 1742 it has stood.",
        claims=[claim(200, 203)],
        evidence=[EVIDENCE],
        finished=pb.TurnFinished(outcome=pb.OUTCOME_ANSWERED),
    )

    def marks(golden: Golden) -> tuple[bool | None, ...]:
        judged = judge(golden, turn, None, 0.0)
        return judged.shows_answer, judged.shows_quote, judged.cites_document

    assert marks(Golden.model_validate(own)) == (False, False, False)
    assert marks(Golden.model_validate({**own, "also": (other,)})) == (True, True, True)
