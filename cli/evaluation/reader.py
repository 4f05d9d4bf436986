"""`ragmesh eval reader`: questions about their gold paragraph, through the served answerer, graded as SQuAD grades.

The prediction is the best short answer over the paragraph; where there is none, the best sentence. In a 1.1 file every question is
answered; in a 2.0 file a question is left unanswered below the threshold that is shipped, which EM and F1 count as the official
script does. Shown sentences are those of the questions with an answer, whether or not the threshold would let them be seen; what it
lets be seen stands beside them (`at_threshold`). Knows no mesh.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ragmesh_models import sentences as splitter

from cli.console import document_progress
from cli.errors import CliError
from cli.evaluation.run import BASELINES, SYSTEM, EvalRun, Item
from cli.evaluation.served import MODELS_ONLY, model_refs, texts, throwaway_mesh
from cli.evaluation.squad import SquadFile, SquadRow, exact, f1, holds, holds_label, read_squad
from services.mesh.errors import MeshError
from services.mesh.triton import TritonClient

ENGINES = dict(zip(BASELINES, ("first", "overlap", "lexical"), strict=True))
"""Baseline -> engine of the answerer."""
_OUTPUTS = ("kind", "score", "threshold", "passage", "sentence", "span", "span_score", "span_threshold", "shown")
_SECONDS = 60.0
_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Place:
    """Bytes [start, end) of a passage."""

    passage: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence that the answerer picked."""

    place: Place
    shown: bool
    """Whether a visitor would see it."""
    highlight: Place | None
    """Its short answer, where the answerer is sure enough to show it."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What the answerer said of one question."""

    answerability: float
    threshold: float
    span: Place | None
    """The best short answer over all passages, however sure."""
    sentences: tuple[Sentence, ...] = ()
    """Best first; a sentence that only leads to the best is left out."""
    ms: float = 0.0


async def hear(
    client: TritonClient,
    engine: str,
    question: str,
    passages: Sequence[str],
    titles: Sequence[str],
    scores: Sequence[tuple[float, float, float]] | None = None,
    reranked: Sequence[float] | None = None,
) -> Heard:
    """Asks the answerer.

    Raises:
        MeshError: it did not answer.
    """
    table: NDArray[Any] = np.full((len(passages), 3), math.nan) if scores is None else np.asarray(scores).reshape(-1, 3)
    inputs = {
        "question": texts([question]),
        "passages": texts(passages),
        "titles": texts(titles),
        "retrieval_scores": table.astype(np.float32),
        "rerank_scores": np.array([math.nan] * len(passages) if reranked is None else reranked, dtype=np.float32),
        "max_sentences": np.array([3], dtype=np.int32),
        "engine": texts([engine]),
    }
    began = time.perf_counter()
    heard = Heard(0.0, 1.0, None)
    found: list[Sentence] = []
    async for message in client.stream("answerer", inputs, _OUTPUTS, idle_timeout=_SECONDS, timeout=_SECONDS):
        passage = int(message["passage"].reshape(-1)[0])
        start, end = (int(value) for value in message["span"].reshape(-1))
        span = Place(passage, start, end) if start >= 0 else None
        match message["kind"].reshape(-1)[0].decode():
            case "decision":
                heard = Heard(float(message["score"][0]), float(message["threshold"][0]), span)
            case "sentence":
                start, end = (int(value) for value in message["sentence"].reshape(-1))
                sure = float(message["span_score"][0]) >= float(message["span_threshold"][0])
                found.append(Sentence(Place(passage, start, end), bool(message["shown"][0]), span if sure else None))
    return replace(heard, sentences=tuple(found), ms=(time.perf_counter() - began) * 1000)


def said(passages: Sequence[str], place: Place) -> str:
    """The text of a range."""
    return passages[place.passage].encode()[place.start : place.end].decode(errors="replace")


def is_sentence(passage: str, text: str) -> bool:
    """Whether the text is exactly one of the passage's sentences, as the shipped splitter cuts them."""
    return any(passage[cut.start : cut.end] == text for cut in splitter.split(passage))


def short_answer(heard: Heard, passages: Sequence[str]) -> str:
    """The best short answer; without one, the best sentence; without that, nothing."""
    if heard.span is not None:
        return said(passages, heard.span)
    return said(passages, heard.sentences[0].place) if heard.sentences else ""


def mark(row: SquadRow, heard: Heard, has_impossible: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Marks of one question, and what was seen."""
    answers = [answer.text for answer in row.answers]
    prediction = short_answer(heard, [row.context])
    answered = heard.answerability >= heard.threshold
    if has_impossible and not answered:
        prediction = ""
    shown = [_shown(row, sentence.place) for sentence in heard.sentences[:2]]
    strict, lenient = ([hit[i] for hit in shown] for i in (0, 1))
    overlap = f1(prediction, answers)
    marks: dict[str, Any] = {
        "em": exact(prediction, answers),
        "f1": overlap,
        "has_ans_f1": overlap if has_impossible and row.answers else None,
        "no_ans_f1": overlap if has_impossible and not row.answers else None,
        "answerability": heard.answerability if has_impossible else None,
        "answerable": float(bool(row.answers)),
        "shown_sentence": float(any(lenient[:1])) if row.answers else None,
        "shown_sentence_strict": float(any(strict[:1])) if row.answers else None,
        "shown_2": float(any(lenient)) if row.answers else None,
        "answered": float(answered) if has_impossible and row.answers else None,
        "answered_right": float(any(lenient[:1])) if has_impossible and row.answers and answered else None,
        "unanswerable_answered": float(answered) if has_impossible and not row.answers else None,
        "ms": heard.ms,
    }
    sentence = said([row.context], heard.sentences[0].place) if heard.sentences else ""
    return marks, {"prediction": prediction, "sentence": sentence}


def _shown(row: SquadRow, place: Place) -> tuple[bool, bool]:
    """(holds a labelled place, holds an answer string) of one shown sentence; neither where it is not exactly one sentence."""
    text = said([row.context], place)
    if not is_sentence(row.context, text):
        return False, False
    start = len(row.context.encode()[: place.start].decode(errors="replace"))
    end = start + len(text)
    return holds_label(start, end, row.answers), holds(text, [answer.text for answer in row.answers])


async def run_reader(data: Path, engine: str) -> EvalRun:
    """
    Raises:
        CliError: the file is none, or the models cannot be served.
    """
    file = read_squad(data)
    began = time.monotonic()
    rows = {SYSTEM: engine, **ENGINES}
    async with throwaway_mesh(MODELS_ONLY) as mesh:
        models = await model_refs(mesh.triton_target)
        client = TritonClient(mesh.triton_target)
        try:
            heard = {name: await _all(client, file, name, named) for name, named in rows.items()}
        except MeshError as error:
            raise CliError(f"The answerer failed: {error.message} [{error.reason}].", "Try again.") from error
        finally:
            await client.close()
    items = []
    for n, row in enumerate(file.rows):
        graded = {name: mark(row, found[n], file.has_impossible) for name, found in heard.items()}
        items.append(Item(row.id, {name: marks for name, (marks, _) in graded.items()}, graded[SYSTEM][1]))
    config = {"data": data.name, "engine": engine, "kind": "2.0" if file.has_impossible else "1.1", "passages": "gold"}
    return EvalRun("reader", (SYSTEM,), config, models, items, time.monotonic() - began)


async def _all(client: TritonClient, file: SquadFile, name: str, engine: str) -> list[Heard]:
    def ask(row: SquadRow) -> Awaitable[Heard]:
        return hear(client, engine, row.question, [row.context], [row.title])

    return await at_once(file.rows, ask, BASELINES.get(name, "Reading").capitalize())


async def at_once(rows: Sequence[Any], ask: Callable[[Any], Awaitable[Any]], title: str, width: int = _AT_ONCE) -> list[Any]:
    """`ask` of every row, a few at a time, in order, with a progress bar."""
    found: list[Any] = [None] * len(rows)
    left = iter(range(len(rows)))
    began = time.monotonic()
    with document_progress() as progress:
        task = progress.add_task(title, total=len(rows), rate="")

        async def work() -> None:
            for n in left:
                found[n] = await ask(rows[n])
                rate = (progress.tasks[0].completed + 1) / max(time.monotonic() - began, 1e-3)
                progress.update(task, advance=1, rate=f"{rate:.0f}/s")

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(width):
                    group.create_task(work())
        except* Exception as errors:
            failed = errors.exceptions[0]
        else:
            return found
    raise failed  # out here: a caller looks for its own kind of error, not for a group
