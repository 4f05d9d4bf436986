"""`ragmesh eval answers`: a corpus in a throw-away mesh, each question asked through the gateway, and what a visitor sees graded.

Shown sentences are the claims of the released text; the sentence that only leads to the best one does not count as the best. The
short answer (EM, F1) is the first highlight of the text, where none is shown the best shown sentence, and nothing where nothing
was answered. A question that was wrongly not answered counts as wrong in everything; one that cannot be answered is right in EM
and F1 when it was not, and does not count in the rest. For the risk-coverage curve every question is answered: by the sentence
that the answerer finds best in the passages of the turn, with the turn's confidence.

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
from cli.evaluation.reader import ENGINES, Heard, at_once, hear, is_sentence, said
from cli.evaluation.rows import CorpusRow, QuestionRow, read_rows
from cli.evaluation.run import BASELINES, SYSTEM, EvalRun, Item
from cli.evaluation.served import ALL_PARTS, model_refs, throwaway_mesh
from cli.evaluation.squad import exact, f1, holds
from services.mesh.errors import MeshError, from_rpc_error
from services.mesh.triton import TritonClient

if TYPE_CHECKING:
    from ragmesh.gateway.v1.gateway_service_pb2_grpc import GatewayServiceAsyncStub

_SECONDS = 60.0
_WARM_UP = 5
_MANY = "10000"  # questions a minute: the limit that protects a public mesh has nothing to protect here


@dataclass(frozen=True)
class Shown:
    """One sentence that a visitor sees."""

    text: str
    passage: str
    document: str
    """Corpus id."""
    highlight: str = ""


@dataclass(frozen=True)
class Seen:
    """What became of one question."""

    sentences: list[Shown]
    """The best first."""
    cited: list[str]
    """Corpus id of each citation."""
    answerability: float
    forced: Shown | None
    """The best sentence whether or not it was shown."""
    ttft_ms: float | None = None


def mark(row: QuestionRow, seen: Seen) -> dict[str, Any]:
    """Marks of one question."""
    best = seen.sentences[0] if seen.sentences else None
    highlights = [sentence.highlight for sentence in seen.sentences if sentence.highlight]
    prediction = highlights[0] if highlights else best.text if best else ""
    answers = row.answers if row.answerable else ()
    relevant = set(row.relevant)

    def holds_answer(sentence: Shown | None) -> bool:
        return sentence is not None and is_sentence(sentence.passage, sentence.text) and holds(sentence.text, answers)

    right = sum(name in relevant for name in seen.cited)
    applies = row.answerable
    return {
        "em": exact(prediction, answers),
        "f1": f1(prediction, answers),
        "shown_sentence": float(holds_answer(best)) if applies else None,
        "shown_sentence_strict": float(best is not None and holds_answer(best) and best.document in relevant) if applies else None,
        "shown_2": float(any(holds_answer(sentence) for sentence in seen.sentences[:2])) if applies else None,
        "cited": float(len(seen.cited)),
        "cited_right": float(right),
        "citation_recall": len(relevant & set(seen.cited)) / len(relevant) if applies and relevant else None,
        "answerability": seen.answerability,
        "answerable": float(row.answerable),
        "right": float(row.answerable and holds_answer(seen.forced)),
        "ttft_ms": seen.ttft_ms,
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
        found = {"outcome": outcome, "shown": shown, "cited": seen[SYSTEM].cited, "evidence": [self._id(one) for one in evidence]}
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
        passages = [one.text for one in evidence]
        found = []
        for sentence in heard.sentences:
            source = evidence[sentence.place.passage]
            lit = said(passages, sentence.highlight) if sentence.highlight else ""
            found.append(Shown(said(passages, sentence.place), source.text, self._id(source), lit))
        return found

    def _would_show(self, evidence: Sequence[Evidence], heard: Heard) -> Seen:
        """What an engine would show by itself."""
        picked = self._picked(evidence, heard)
        answers = heard.answerability >= heard.threshold
        sentences = [one for one, sentence in zip(picked, heard.sentences, strict=True) if sentence.shown and answers]
        return Seen(sentences, [one.document for one in sentences], heard.answerability, picked[0] if picked else None)

    def _as_seen(self, turn: turn_pb2.Turn, evidence: Sequence[Evidence], heard: Heard, first: float | None) -> Seen:
        """What the turn shows."""
        sources = {one.name: one for one in evidence}
        text = turn.text.encode()
        sentences: list[Shown] = []
        cited: list[str] = []
        for claim in turn.claims:
            cited += [self._id(sources[ref.evidence]) for ref in claim.refs if ref.evidence in sources]
            source = next((sources[ref.evidence] for ref in claim.refs if ref.evidence in sources), Evidence())
            lit = text[claim.highlight.start : claim.highlight.end].decode(errors="replace") if claim.HasField("highlight") else ""
            words = text[claim.range.start : claim.range.end].decode(errors="replace").strip()
            sentences.append(Shown(words, source.text, self._id(source), lit))
        picked = self._picked(evidence, heard)
        if picked and len(sentences) > 1 and sentences[0].text != picked[0].text and sentences[1].text == picked[0].text:
            sentences = [*sentences[1:], sentences[0]]  # it only leads to the best
        sure = turn.finished.confidence if turn.finished.HasField("confidence") else heard.answerability
        return Seen(sentences, cited, sure, picked[0] if picked else None, first if sentences else None)


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
    env = {"RAGMESH_QUESTIONS_PER_MINUTE": _MANY, "RAGMESH_GENERATOR_ENGINE": engine}
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
        "import_seconds": round(loaded.seconds, 1), "refused": dict(loaded.refused),
    }  # fmt: skip
    return EvalRun("answers", (SYSTEM,), config, models, items, time.monotonic() - began, drawing=risk_chart(items))


async def _ask_all(asking: _Asking, asked: Sequence[QuestionRow]) -> list[Item]:
    """One question at a time, so that times are those of one visitor."""
    for row in asked[:_WARM_UP]:
        await asking.turn(row.question)
    return await at_once(asked, asking.item, "Asking", width=1)
