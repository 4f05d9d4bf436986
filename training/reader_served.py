"""Questions as the mesh serves them: searched over 20,000 paragraphs, reranked, the best eight read; for weighing and calibration.

What is dear (search, features, reading the best twenty) is done once a question and kept; how much the reader counts in the order,
and the order between sentences, is then tried in milliseconds. SQuAD's held-out articles tune and test by halves; users' questions
(NQ-oracle's tune half, evaluation only) are looked at to choose between few numbers and never fitted on.

python -m training.reader_served --data DIR [--questions 200] [--reader ANSWERER]     grades weights of the blend
"""

from __future__ import annotations

import argparse
import pickle
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from ragmesh_models import engine
from ragmesh_models.feature_engine import LexicalEngine
from ragmesh_models.lexical import IdfTable
from ragmesh_models.questions import read_question
from ragmesh_models.ranking import Ranker, blend
from ragmesh_models.reader_engine import Evidence, gather
from ragmesh_models.reading import PassageReading, Reader

from training import ANSWERER, MODEL_REPOSITORY, TOKENIZER, dev_sets, passage_eval
from training.passage_data import LEG_DEPTH, Corpus, embed_questions, fused, holds, retrieval_scores, served_embedder
from training.progress import Run
from training.sources import DataFolder

SEED = 11
CANDIDATES = 50
DEPTH = 10
SHOWN = 8  # passages that the answerer gets


@dataclass(frozen=True)
class Searched:
    """One question with what the search found and what the reader says of its best."""

    source: str  # squad or users
    tunes: bool
    question: str
    answers: tuple[str, ...]
    relevant: frozenset[str]
    documents: list[str]  # of each candidate
    texts: list[str]
    titles: list[str]
    retrieval: NDArray[np.float32]  # (n, 3)
    lexical: NDArray[np.float32]  # (n,) by features and the fusion
    read: NDArray[np.int64]  # (d,) the best by features
    readings: list[PassageReading]  # (d,)

    def scores(self, weight: float, depth: int = DEPTH) -> NDArray[np.float32]:
        """(n,) as the reranker would order them."""
        if weight == 0:
            return self.lexical
        logits = np.array([reading.odds for reading in self.readings[:depth]], dtype=np.float32)
        return blend(self.lexical, self.read[:depth], logits, weight)

    def rank(self, scores: NDArray[np.float32]) -> int:
        """Where the first right document stands, each counted once; 1,000 where none does."""
        order = list(dict.fromkeys(self.documents[n] for n in np.argsort(-scores, kind="stable")))
        return next((rank for rank, document in enumerate(order) if document in self.relevant), 1_000)


class Remembered(Reader):
    """A reader that reads no passage of the last question twice."""

    _asked = ""
    _last: dict[tuple[str, str], PassageReading] = {}  # noqa: RUF012 - replaced, never changed in place

    def know(self, question: str, readings: dict[tuple[str, str], PassageReading]) -> None:
        self._asked, self._last = question, readings

    def read(
        self, question: str, passages: Sequence[str], titles: Sequence[str], lexical: Sequence[object] | None = None
    ) -> list[PassageReading]:
        del lexical
        known = self._last if question == self._asked else {}
        pairs = list(zip(titles, passages, strict=True))
        missing = [pair for pair in pairs if pair not in known]
        found = super().read(question, [text for _, text in missing], [title for title, _ in missing]) if missing else []
        known = {**known, **dict(zip(missing, found, strict=True))}
        return [known[pair] for pair in pairs]


def searched(data: DataFolder, reader: Reader, most: int, run: Run) -> list[Searched]:
    """At most so many questions of each source and half."""
    apart = data.apart()
    rows = dev_sets.mixed_corpus(apart)
    titles = {row["id"]: row["title"] for row in rows}
    embedder = served_embedder()
    corpus = Corpus("mixed", [(row["id"], row["title"], row["text"]) for row in rows], embedder)
    asked = {
        "squad": dev_sets.squad_questions(dev_sets.squad_articles(apart, "squad11_wiki32"), rows),
        "users": dev_sets.nq_questions(dev_sets.natural_questions(apart), rows),
    }
    ranker = Ranker(MODEL_REPOSITORY / "reranker" / "1")
    found: list[Searched] = []
    for source, questions in asked.items():
        for tunes in (True, False):
            half = [row for row in questions if passage_eval.tuning(titles[row["relevant"][0]]) == tunes]
            part = random.Random(SEED).sample(half, min(most, len(half)))
            vectors = embed_questions(embedder, [row["question"] for row in part])
            for number, (row, vector) in enumerate(zip(part, vectors, strict=True)):
                dense, sparse = corpus.legs(row["question"], vector, True, LEG_DEPTH)
                marks = fused(dense, sparse)
                chosen = list(marks)[:CANDIDATES]
                texts, named = [corpus.texts[i] for i in chosen], [corpus.titles[i] for i in chosen]
                retrieval = retrieval_scores(chosen, dense, sparse, marks)
                lexical = ranker.lexical(row["question"], texts, named, retrieval)
                read = np.argsort(-lexical, kind="stable")[:DEPTH]
                readings = reader.read(row["question"], [texts[i] for i in read], [named[i] for i in read])
                documents = [corpus.documents[i] for i in chosen]
                found.append(
                    Searched(
                        source, tunes, row["question"], tuple(row["answers"]), frozenset(row["relevant"]), documents, texts, named,
                        retrieval, lexical, read, readings,
                    )
                )  # fmt: skip
                run.say(number + 1, len(part), f"{source} {'tune' if tunes else 'test'} searched", every_s=15.0)
    return found


@dataclass(frozen=True)
class Served:
    """What the answerer sees of one question: its evidence over the best passages, and what is right in it."""

    searched: Searched
    request: engine.Reading
    evidence: Evidence
    gold: NDArray[np.bool_]  # (sentences,) hold an answer string
    cited: NDArray[np.bool_]  # (sentences,) stand in a relevant passage
    real: NDArray[np.bool_]


def serve(one: Searched, scores: NDArray[np.float32], reader: Remembered, lexical: LexicalEngine, idf: IdfTable) -> Served | None:
    """None where there is not one sentence."""
    best = np.argsort(-scores, kind="stable")[:SHOWN]
    request = engine.Reading(read_question(one.question, idf))
    for i in best:
        request.add(one.texts[i], one.titles[i], tuple(one.retrieval[i].tolist()), float(scores[i]))
    ranking = lexical.rank(request)
    if not ranking.sentences:
        return None
    reader.know(
        one.question,
        {(one.titles[i], one.texts[i]): reading for i, reading in zip(one.read, one.readings, strict=True)},
    )
    evidence = gather(reader, ranking, request)
    answers = tuple(answer.casefold() for answer in one.answers)
    candidates = [sentence.candidate for sentence in ranking.sentences]
    gold = np.array([holds(request.body(candidate).casefold(), answers) for candidate in candidates])
    cited = np.array([one.documents[best[candidate.passage]] in one.relevant for candidate in candidates])
    real = np.array([engine.is_real_sentence(candidate) for candidate in candidates])
    return Served(one, request, evidence, gold, cited, real)


def open_reader(folder: Path = ANSWERER) -> Remembered:
    return Remembered(folder, TOKENIZER, threads=1)


def load(data: DataFolder, run: Run, most: int, folder: Path = ANSWERER, name: str = "searched") -> list[Searched]:
    """The searches of a reader, kept in the run's folder under the digest of its weights."""
    kept = run.folder / f"{name}-{(folder / 'reader.onnx').stat().st_mtime_ns:x}-{most}.pickle"
    if kept.is_file():
        with kept.open("rb") as file:
            known: list[Searched] = pickle.load(file)  # noqa: S301 - our own file
        return known
    found = searched(data, open_reader(folder), most, run)
    with kept.open("wb") as file:
        pickle.dump(found, file, protocol=5)
    return found


def _parts(found: list[Searched]) -> dict[str, list[Searched]]:
    parts: dict[str, list[Searched]] = {}
    for one in found:
        parts.setdefault(f"{one.source} {'tune' if one.tunes else 'test'}", []).append(one)
    return parts


def report(found: list[Searched], weights: Sequence[float]) -> None:
    for name, part in _parts(found).items():
        for weight in weights:
            print(name, len(part), weight, passage_eval.metrics([one.rank(one.scores(weight)) for one in part]), flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--questions", type=int, default=200)
    arguments.add_argument("--reader", type=Path, default=ANSWERER)
    parsed = arguments.parse_args()
    known = load(DataFolder(parsed.data), Run("reader_served"), parsed.questions, parsed.reader)
    report(known, (0, 0.2, 0.4, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0))


if __name__ == "__main__":
    # Through the module's own name, so that what is pickled can be read by others.
    from training import reader_served

    reader_served.main()
