"""Rows of the sufficiency model: real searches over questions whose right passage is known, with and without it. Knows no model.

Every question comes from a held-out article: what embedder and reader were trained on they know by heart, and would be too sure of.
The tuning half of the articles is fitted on; the other half and questions of real users (evaluation only) are graded on. Each is
searched twice, over all passages and after the right ones were deleted; for every second article all of its passages go, so that a
question about something that nobody wrote about is there as well as one whose answer stands just beside what was written.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragmesh.evidence.v1.search_pb2 import QuestionType, RewriteKind, SufficiencyDecision
from ragmesh.retriever.v1 import document_service_pb2, retriever_service_pb2
from ragmesh.retriever.v1.document_service_pb2_grpc import DocumentServiceStub
from ragmesh.retriever.v1.retriever_service_pb2_grpc import RetrieverServiceStub

from cli.evaluation.corpus import COLLECTION, Loaded, load, name_of, retriever_channel
from cli.evaluation.rows import CorpusRow
from cli.evaluation.searching import read_corpus
from cli.evaluation.served import RETRIEVAL_PARTS, throwaway_mesh
from training import ROOT, dev_sets
from training.progress import Run
from training.sources import DataFolder
from training.splits import title_key

if TYPE_CHECKING:
    from ragmesh.retriever.v1.document_service_pb2_grpc import DocumentServiceAsyncStub
    from ragmesh.retriever.v1.retriever_service_pb2_grpc import RetrieverServiceAsyncStub

FITTED = ("qa/reading/squad11_wiki32.json", "qa/retrieval/medquad.jsonl")
"""Files whose questions are fitted on. What else is searched is passages among which the right ones are to be found."""
SEED = 31
PASSAGES = 4_000
QUESTIONS = {"squad": 160, "medquad": 110, "users": 130}
"""Of each source and half; of users' questions there is one half."""
LIMIT = 8
"""Passages that a turn asks for."""
_SECONDS = 30.0
# The legs and the reranker shall have the time that they ask for, however busy the machine is.
_PATIENT = {"RAGMESH_RETRIEVER_RERANK_SECONDS": "10", "RAGMESH_RETRIEVER_DENSE_SECONDS": "5"}
_WAIT_SECONDS = 120.0


@dataclass(frozen=True)
class Question:
    """One question with what is right."""

    source: str  # squad, medquad or users
    tunes: bool
    text: str
    article: str
    relevant: tuple[str, ...]  # ids of passages
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Searched:
    """What one search was judged by, and whether its evidence holds the answer."""

    source: str
    tunes: bool
    question: str
    article: str
    type: str
    whole: bool  # nothing was taken away
    reranked: bool
    factors: tuple[float, ...]
    sufficient: bool


def tuning(article: str) -> bool:
    """Whether a held-out article belongs to the half that is fitted on: the same halves as the reader's and the reranker's."""
    return len(title_key(article)) % 2 == 0


def _whole_article(article: str) -> bool:
    """Whether all of the article is taken away, and not the right passages alone."""
    return hashlib.sha256(f"ragmesh-sufficiency-away {title_key(article)}".encode()).digest()[0] % 2 == 0


def draw(data: DataFolder) -> tuple[list[Question], list[CorpusRow]]:
    """Questions, and the passages that they are asked of: the right ones, the rest of their articles, others to fill up."""
    chance = random.Random(SEED)
    mixed = dev_sets.mixed_corpus(data)
    articles = [*dev_sets.squad_articles(data, "squad11_wiki32")]
    medical, _, medical_questions = dev_sets.med_quad(data)
    rows = {row["id"]: row for row in [*mixed, *medical]}
    asked = {
        "squad": dev_sets.squad_questions(articles, mixed),
        "medquad": [{**row, "question": row["text"], "answers": []} for row in medical_questions],
        "users": dev_sets.nq_questions(dev_sets.natural_questions(data), mixed),
    }
    chosen: list[Question] = []
    for source, found in asked.items():
        made = [
            Question(source, tunes, row["question"], article, tuple(row["relevant"]), tuple(row["answers"]))
            for row in found
            for article in [rows[row["relevant"][0]]["title"]]
            for tunes in [tuning(article) and source != "users"]
        ]
        for half in (True, False):
            part = [one for one in made if one.tunes == half]
            chosen += chance.sample(part, min(QUESTIONS[source], len(part)))
    titles = {one.article for one in chosen}
    near = [row for row in rows.values() if row["title"] in titles]
    needed = {name for one in chosen for name in one.relevant}
    kept = {row["id"]: row for row in [*(rows[name] for name in sorted(needed)), *near]}
    others = [row for row in rows.values() if row["id"] not in kept]
    for row in chance.sample(others, max(0, min(len(others), PASSAGES - len(kept)))):
        kept[row["id"]] = row
    return chosen, [CorpusRow(id=row["id"], title=row["title"], text=row["text"]) for row in kept.values()]


def away(questions: Iterable[Question], corpus: Iterable[CorpusRow]) -> set[str]:
    """Ids of the passages that the second search does without."""
    chosen = list(questions)
    gone = {name for one in chosen for name in one.relevant}
    titles = {one.article for one in chosen if _whole_article(one.article)}
    return gone | {row.id for row in corpus if row.title in titles}


class Searching:
    """Searches a collection as a turn does, and again without the reranker."""

    def __init__(self, retriever: RetrieverServiceAsyncStub, loaded: Loaded) -> None:
        self._retriever = retriever
        self._ids = loaded.ids

    async def until_judged(self, question: str) -> None:
        """Waits until the words of the collection are learned: nothing is judged before."""
        async with asyncio.timeout(_WAIT_SECONDS):
            # Each search waits a moment for the words itself.
            while not (await self.ask(question)).sufficiency.factors:
                pass

    async def ask(self, question: str, depth: int | None = None) -> retriever_service_pb2.SearchResponse:
        request = retriever_service_pb2.SearchRequest(
            collection=COLLECTION, query=question, language="en", limit=LIMIT, rerank_depth=depth,
            without=[RewriteKind.REWRITE_KIND_PARTS],
        )  # fmt: skip
        return await self._retriever.Search(request, timeout=_SECONDS)

    async def rows(self, one: Question, whole: bool) -> list[Searched]:
        """None of a search that was not judged, or where the answer stands in a passage that nobody named right."""
        made: list[Searched] = []
        for reranked in (True, False):
            found = await self.ask(one.text, None if reranked else 0)
            here = {self._ids[passage.document] for passage in found.evidence} & set(one.relevant)
            texts = "\n".join(passage.text for passage in found.evidence).casefold()
            said = any(answer.casefold() in texts for answer in one.answers)
            late = reranked and any(skipped.leg == retriever_service_pb2.SEARCH_LEG_RERANK for skipped in found.degraded)
            if late or not found.sufficiency.factors or (said and not here):
                continue
            kind = QuestionType.Name(found.searched.type).removeprefix("QUESTION_TYPE_").lower()
            values = tuple(factor.value for factor in found.sufficiency.factors)
            made.append(Searched(one.source, one.tunes, one.text, one.article, kind, whole, reranked, values, bool(here)))
        return made


async def _searched(questions: Sequence[Question], corpus: Sequence[CorpusRow], run: Run) -> list[Searched]:
    found: list[Searched] = []
    async with throwaway_mesh(RETRIEVAL_PARTS, env=_PATIENT) as mesh, retriever_channel(mesh) as channel:
        loaded = await load(channel, corpus)
        searching = Searching(RetrieverServiceStub(channel), loaded)
        await searching.until_judged(questions[0].text)
        for whole in (True, False):
            if not whole:
                await _delete(DocumentServiceStub(channel), corpus, away(questions, corpus))
            for number, one in enumerate(questions):
                found += await searching.rows(one, whole)
                run.say(number + 1, len(questions), "searched whole" if whole else "searched without", every_s=15.0)
    return found


async def _delete(documents: DocumentServiceAsyncStub, corpus: Sequence[CorpusRow], gone: set[str]) -> None:
    for row in corpus:
        if row.id in gone:
            await documents.DeleteDocument(document_service_pb2.DeleteDocumentRequest(name=name_of(row)), timeout=_SECONDS)


def searched(data: DataFolder, run: Run, *, again: bool) -> list[Searched]:
    """The rows; those of a former run where there are any and `again` is not asked for."""
    kept = run.folder / "rows.jsonl"
    if again or not kept.is_file():
        questions, corpus = draw(data.apart())
        rows = asyncio.run(_searched(questions, corpus, run))
        kept.write_text("".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return [_row(json.loads(line)) for line in kept.read_text(encoding="utf-8").splitlines()]


def _row(read: dict[str, Any]) -> Searched:
    return Searched(**{**read, "factors": tuple(read["factors"])})


async def ladder(corpus: Path = ROOT / "corpus" / "chatcbd") -> dict[str, dict[str, int]]:
    """Kind of golden question -> decision -> how often the shipped model takes it. Goldens fit nothing."""
    lines = [line for file in sorted((ROOT / "goldens").glob("*.jsonl")) for line in file.read_text(encoding="utf-8").splitlines()]
    counts: dict[str, dict[str, int]] = {}
    async with throwaway_mesh(RETRIEVAL_PARTS, env=_PATIENT) as mesh, retriever_channel(mesh) as channel:
        loaded = await load(channel, read_corpus(corpus), media_type="text/markdown")
        searching = Searching(RetrieverServiceStub(channel), loaded)
        await searching.until_judged("cannabidiol")
        for line in lines:
            row = json.loads(line)
            if row["kind"] == "small_talk":
                continue  # answered before anything is searched for
            request = retriever_service_pb2.SearchRequest(collection=COLLECTION, query=row["question"], language="en", limit=LIMIT)
            found = await RetrieverServiceStub(channel).Search(request, timeout=_SECONDS)
            name = SufficiencyDecision.Name(found.sufficiency.decision).removeprefix("SUFFICIENCY_DECISION_").lower()
            counts.setdefault(row["kind"], {}).setdefault(name, 0)
            counts[row["kind"]][name] += 1
    return counts
