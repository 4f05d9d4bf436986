"""`ragmesh eval answers`: a corpus in a throw-away mesh, each question asked through the gateway, and what a visitor sees graded.

Shown sentences are the claims of the released text; the sentence that only leads to the best one does not count as the best. Where
the mesh does not answer, what its answerer would have shown of the turn's passages is graded in their place: how good answers are,
and how well the mesh knows which of its answers are right (AUROC, the risk-coverage curve, coverage), are two questions, as they
are in `eval reader`. What the shipped thresholds make of both, silence counted as wrong, stands beside it (`at_threshold`).
What a guard withholds, and a turn that fails, is wrong in either.

EM and F1 are SQuAD's, of the best short answer over the turn's passages, or the best sentence where there is none; nothing
where nothing was answered, which is right for a question that cannot be.

The baselines are the answerer's other engines over the same passages, without the guard.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from ragmesh.evidence.v1.evidence_pb2 import Evidence
from ragmesh.gateway.v1 import gateway_service_pb2 as gateway
from ragmesh.gateway.v1 import turn_pb2
from ragmesh.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub

from cli.connection import in_words, open_channel
from cli.errors import CliError
from cli.evaluation.chart import Curve, draw
from cli.evaluation.corpus import Loaded, load, retriever_channel
from cli.evaluation.figures import column, risk_coverage
from cli.evaluation.reader import ENGINES, Heard, at_once, hear, is_sentence, said, short_answer
from cli.evaluation.rows import CorpusRow, QuestionRow, read_rows
from cli.evaluation.run import BASELINES, SYSTEM, EvalRun, Item
from cli.evaluation.served import ALL_PARTS, PATIENT, model_refs, throwaway_mesh
from cli.evaluation.squad import exact, f1, holds
from services.mesh.errors import MeshError, from_rpc_error
from services.mesh.triton import TritonClient

if TYPE_CHECKING:
    from ragmesh.gateway.v1.gateway_service_pb2_grpc import GatewayServiceAsyncStub

_SECONDS = 60.0
_WARM_UP = 5
_SILENT = (turn_pb2.OUTCOME_ABSTAINED, turn_pb2.OUTCOME_CLARIFICATION)  # nothing was found good enough
_MANY = "10000"  # questions a minute: the limit that protects a public mesh has nothing to protect here


@dataclass(frozen=True)
class Shown:
    """One sentence that a visitor sees."""

    text: str
    passage: str
    document: str
    """Corpus id."""


@dataclass(frozen=True)
class Seen:
    """What became of one question."""

    sentences: list[Shown]
    """What was shown, the best first."""
    cited: list[str]
    """Corpus id of each citation."""
    answerability: float
    withheld: list[Shown]
    """What would have been shown, the best first, where it was left unanswered as too doubtful."""
    short: str = ""
    """The best short answer over the passages."""
    ttft_ms: float | None = None


def mark(row: QuestionRow, seen: Seen) -> dict[str, Any]:
    """Marks of one question."""
    sentences = (seen.sentences or seen.withheld)[:2]
    answered = bool(seen.sentences)
    answers = row.answers if row.answerable else ()
    relevant = set(row.relevant)
    prediction = (seen.short or seen.sentences[0].text) if answered else ""
    held = [is_sentence(one.passage, one.text) and holds(one.text, answers) for one in sentences]
    right, right_2 = float(any(held[:1])), float(any(held))
    cited_right = float(sum(name in relevant for name in seen.cited))
    applies = row.answerable

    def where(condition: bool, value: float) -> float | None:
        return value if condition else None

    return {
        "em": exact(prediction, answers),
        "f1": f1(prediction, answers),
        "shown_sentence": where(applies, right),
        "shown_sentence_strict": where(applies, right * bool(sentences and sentences[0].document in relevant)),
        "shown_2": where(applies, right_2),
        "cited": float(len(seen.cited)),
        "cited_right": cited_right,
        "citation_recall": where(applies and bool(relevant), len(relevant & set(seen.cited)) / max(1, len(relevant))),
        "answerability": seen.answerability,
        "answerable": float(row.answerable),
        "right": right,
        "ttft_ms": seen.ttft_ms,
        "answered": where(applies, float(answered)),
        "answered_right": where(applies and answered, right),
        "shown_sentence_or_silent": where(applies, right * answered),
        "shown_2_or_silent": where(applies, right_2 * answered),
        "cited_answerable": where(applies, float(len(seen.cited))),
        "cited_right_answerable": where(applies, cited_right),
        "unanswerable_answered": where(not applies, float(answered)),
    }


class _Asking:
    def __init__(self, stub: GatewayServiceAsyncStub, triton: TritonClient, loaded: Loaded, engine: str) -> None:
        self._stub = stub
        self._triton = triton
        self._loaded = loaded
        self._engine = engine

    async def turn(self, question: str) -> tuple[turn_pb2.Turn, float | None]:
        """The finished turn, and milliseconds to its first text."""
        began = time.perf_counter()
        first: float | None = None
        name = ""
        async for response in self._stub.StreamAnswer(gateway.StreamAnswerRequest(question=question), timeout=_SECONDS):
            name = response.event.turn
            if first is None and response.event.HasField("delta"):
                first = (time.perf_counter() - began) * 1000
        answer = await self._stub.GetTurn(gateway.GetTurnRequest(name=name), timeout=_SECONDS)
        return answer.turn, first

    async def item(self, row: QuestionRow) -> Item:
        turn, first = await self.turn(row.question)
        evidence = list(turn.evidence)
        heard = {name: await self._hear(row.question, evidence, named) for name, named in {SYSTEM: self._engine, **ENGINES}.items()}
        seen = {name: self._would_show(evidence, found) for name, found in heard.items() if name != SYSTEM}
        seen[SYSTEM] = self._as_seen(turn, evidence, heard[SYSTEM], first)
        outcome = turn_pb2.Outcome.Name(turn.finished.outcome).removeprefix("OUTCOME_")
        shown = [sentence.text for sentence in seen[SYSTEM].sentences]
        found = {
            "outcome": outcome, "shown": shown, "withheld": [one.text for one in seen[SYSTEM].withheld],
            "cited": seen[SYSTEM].cited, "evidence": [self._id(one) for one in evidence],
            "degraded": [f"{one.skipped}: {one.reason}" for one in turn.degradations],
        }  # fmt: skip
        return Item(row.id, {name: mark(row, one) for name, one in seen.items()}, found)

    def _id(self, evidence: Evidence) -> str:
        return self._loaded.ids.get(evidence.document, "")

    async def _hear(self, question: str, evidence: Sequence[Evidence], engine: str) -> Heard:
        if not evidence:
            return Heard(0.0, 1.0, None)
        scores = [(_score(one, "dense"), _score(one, "sparse"), _score(one, "fused")) for one in evidence]
        titles = [" > ".join(one.title_path) for one in evidence]
        reranked = [_score(one, "rerank") for one in evidence]
        return await hear(self._triton, engine, question, [one.text for one in evidence], titles, scores, reranked)

    def _picked(self, evidence: Sequence[Evidence], heard: Heard) -> list[Shown]:
        """What would be shown, whether or not that is too doubtful; the best first."""
        passages = [one.text for one in evidence]
        places = [sentence.place for sentence in heard.sentences if sentence.shown]
        sources = [evidence[place.passage] for place in places]
        return [Shown(said(passages, place), source.text, self._id(source)) for place, source in zip(places, sources, strict=True)]

    def _would_show(self, evidence: Sequence[Evidence], heard: Heard) -> Seen:
        """What an engine would show by itself."""
        picked = self._picked(evidence, heard)
        sentences = picked if heard.answerability >= heard.threshold else []
        return Seen(sentences, [one.document for one in sentences], heard.answerability, picked, _short(evidence, heard))

    def _as_seen(self, turn: turn_pb2.Turn, evidence: Sequence[Evidence], heard: Heard, first: float | None) -> Seen:
        """What the turn shows."""
        sources = {one.name: one for one in evidence}
        text = turn.text.encode()
        sentences: list[Shown] = []
        cited: list[str] = []
        for claim in turn.claims:
            cited += [self._id(sources[ref.evidence]) for ref in claim.refs if ref.evidence in sources]
            source = next((sources[ref.evidence] for ref in claim.refs if ref.evidence in sources), Evidence())
            words = text[claim.range.start : claim.range.end].decode(errors="replace").strip()
            sentences.append(Shown(words, source.text, self._id(source)))
        picked = self._picked(evidence, heard)
        if picked and len(sentences) > 1 and sentences[0].text != picked[0].text and sentences[1].text == picked[0].text:
            sentences = [*sentences[1:], sentences[0]]  # it only leads to the best
        sure = turn.finished.confidence if turn.finished.HasField("confidence") else heard.answerability
        withheld = picked if turn.finished.outcome in _SILENT else []
        return Seen(sentences, cited, sure, withheld, _short(evidence, heard), first if sentences else None)


def _short(evidence: Sequence[Evidence], heard: Heard) -> str:
    return short_answer(heard, [one.text for one in evidence])


def _score(item: Evidence, leg: str) -> float:
    return float(getattr(item.scores, leg)) if item.scores.HasField(leg) else math.nan  # type: ignore[arg-type]


def risk_chart(items: Sequence[Item]) -> bytes:
    """The risk-coverage curves of the mesh and of the baselines, as PNG."""
    curves = []
    for name in (SYSTEM, *BASELINES):
        marks = [item.marks.get(name, {}) for item in items]
        covered, risk = risk_coverage(column(marks, "answerability"), column(marks, "right"))
        curves.append(Curve("as served" if name == SYSTEM else BASELINES[name].lower(), covered.tolist(), risk.tolist()))
    return draw(curves, "coverage", "risk")


async def run_answers(corpus: Path, questions: Path, engine: str) -> EvalRun:
    """
    Raises:
        CliError: a file is none, the mesh cannot start, or a question failed.
    """
    rows, asked = read_rows(corpus, CorpusRow), read_rows(questions, QuestionRow)
    if bad := next((row.id for row in asked if row.answerable and not row.answers), None):
        raise CliError(f"{questions}: the question {bad!r} is answerable and has no answers.", "Give it one, or answerable: false.")
    began = time.monotonic()
    env = {**PATIENT, "RAGMESH_QUESTIONS_PER_MINUTE": _MANY, "RAGMESH_GENERATOR_ENGINE": engine}
    async with throwaway_mesh(ALL_PARTS, env) as mesh:
        models = await model_refs(mesh.triton_target)
        async with retriever_channel(mesh) as channel:
            loaded = await load(channel, rows)
        triton = TritonClient(mesh.triton_target)
        try:
            async with open_channel(mesh.grpc_target) as channel:
                items = await _ask_all(_Asking(GatewayServiceStub(channel), triton, loaded, engine), asked)
        except grpc.aio.AioRpcError as error:
            raise in_words(from_rpc_error(error, service="gateway"), "the evaluation's mesh") from error
        except MeshError as error:
            raise CliError(f"The models failed: {error.message} [{error.reason}].", "Try again.") from error
        finally:
            await triton.close()
    config = {
        "corpus": corpus.name, "questions": questions.name, "rows": len(rows), "chunks": loaded.chunks, "engine": engine,
        "import_seconds": round(loaded.seconds, 1), "refused": dict(loaded.refused), "patience": PATIENT,
        "degraded": sum(bool(item.seen["degraded"]) for item in items),
    }  # fmt: skip
    return EvalRun("answers", (SYSTEM,), config, models, items, time.monotonic() - began, drawing=risk_chart(items))


async def _ask_all(asking: _Asking, asked: Sequence[QuestionRow]) -> list[Item]:
    """One question at a time, so that times are those of one visitor."""
    for row in asked[:_WARM_UP]:
        await asking.turn(row.question)
    return await at_once(asked, asking.item, "Asking", width=1)
