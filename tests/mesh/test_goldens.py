"""The golden questions through the real mesh: what they are, and that answers have not become worse than they were."""

from __future__ import annotations

from pathlib import Path

import pytest
from ragmesh.gateway.v1 import gateway_service_pb2 as g
from ragmesh.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub

from cli.evaluation.compare import differences, unpaired
from cli.evaluation.figures import GOLDENS as GOLDEN_FIGURES
from cli.evaluation.run import keep, read_run
from cli.goldens import Judgement, golden_files, golden_run, judge, read_goldens

ROOT = Path(__file__).resolve().parents[2]
GOLDENS = read_goldens(golden_files(ROOT / "goldens"))

# What the models of the last accepted change reached, question by question; goldens/README.md says how it is written anew.
BASELINE = ROOT / "goldens" / "baseline" / "goldens.json"


def test_there_are_enough_of_each_kind_and_all_quotes_stand_in_their_documents() -> None:
    kinds = [golden.kind for golden in GOLDENS]
    assert len(GOLDENS) >= 150
    assert min(kinds.count(kind) for kind in ("answerable", "unanswerable", "small_talk")) >= 15
    for golden in GOLDENS:
        if golden.kind == "answerable":
            body = (ROOT / "corpus" / "chatcbd" / golden.document).read_text()
            assert golden.quote in body, golden.id
            assert all(answer in golden.quote for answer in golden.answers), golden.id
        for other in golden.also:
            assert other.quote in (ROOT / "corpus" / "chatcbd" / other.document).read_text(), golden.id
            assert other.quote != golden.quote, golden.id
            assert all(answer in other.quote for answer in other.answers), golden.id


def test_the_corpus_has_at_least_sixty_documents() -> None:
    assert len(list((ROOT / "corpus" / "chatcbd").rglob("*.md"))) >= 60


async def judged(gateway: GatewayServiceStub) -> list[Judgement]:
    found = []
    for golden in GOLDENS:
        answer = await gateway.Answer(g.AnswerRequest(question=golden.question), timeout=30)
        found.append(judge(golden, answer.turn, None, 0.0))
    return found


@pytest.mark.timeout(240)
async def test_answers_have_not_become_significantly_worse(gateway: GatewayServiceStub, tmp_path: Path) -> None:
    before = read_run(BASELINE)
    after = read_run(keep(golden_run(await judged(gateway), {}, [], 0.0), tmp_path / "goldens.json", tmp_path))
    assert unpaired(before, after) == 0, "the baseline has other questions than goldens/"
    found = differences(before, after)
    assert {one.figure for one in found} == {figure.name for figure in GOLDEN_FIGURES}
    assert [one for one in found if one.is_drop] == []
