"""Lists of candidate passages for the passage scorer: questions beside what both legs of a search bring for them.

A corpus is searched as the retriever searches: BM25 over title and text, cosines of the embedder, both fused. Who is right is known
by document; a passage of the same article that holds the answer counts too, and one of another article is left out of the loss.
"""

from __future__ import annotations

import random
import re
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from ragmesh_models import identity
from ragmesh_models.embedding import Embedder
from ragmesh_models.tokens import TextTokenizer

from training import MODEL_REPOSITORY, reading_sets
from training.answerer_data import chunks
from training.bm25 import Bm25
from training.reading_sets import Reading
from training.sources import DataFolder
from training.splits import Grams, clean, evaluation_titles, title_key, trainable

SEED = 20260721
LEG_DEPTH = 50
DENSE_WEIGHT = 0.2
TITLE_WEIGHT = 3  # as `services.retriever.indexing_text` says
_EMBED_BATCH = 64
_SHORT_ANSWER = 4  # characters; a shorter one stands anywhere by chance


@dataclass(frozen=True)
class Asked:
    """A question and what answers it."""

    source: str
    title: str
    """Of the article that it was asked about; empty where none is known."""
    question: str
    documents: frozenset[str]
    answers: tuple[str, ...]
    """Short answers in the words of their passage; empty where the answer is a whole passage."""


class Corpus:
    """Passages that are searched as one, with and without their titles."""

    def __init__(self, name: str, rows: list[tuple[str, str, str]], embedder: Embedder) -> None:
        """`rows` are (document, title, text); a long text becomes several passages of its document."""
        self.name = name
        self.documents: list[str] = []
        self.titles: list[str] = []
        self.texts: list[str] = []
        for document, title, text in rows:
            for start, end in chunks(text):
                self.documents.append(document)
                self.titles.append(title)
                self.texts.append(text[start:end])
        self._embedder = embedder
        self._searched: dict[bool, tuple[Bm25, NDArray[np.float32]]] = {}

    def __len__(self) -> int:
        return len(self.texts)

    def _with_titles(self, titled: bool) -> tuple[Bm25, NDArray[np.float32]]:
        if titled not in self._searched:
            pairs = list(zip(self.titles, self.texts, strict=True))
            indexed = [f"{title}\n" * TITLE_WEIGHT + text for title, text in pairs] if titled else self.texts
            embedded = [f"{title}\n{text}" for title, text in pairs] if titled else self.texts
            self._searched[titled] = Bm25(indexed), _embed(self._embedder, embedded, "passage")
        return self._searched[titled]

    def legs(
        self, question: str, vector: NDArray[np.float32], titled: bool, depth: int
    ) -> tuple[dict[int, float], dict[int, float]]:
        """(dense, sparse): passage -> score, best first, at most `depth` each."""
        index, vectors = self._with_titles(titled)
        cosines = vectors @ vector  # (n,)
        sparse = index.scores(question)  # (n,)
        best = [_top(scores, depth) for scores in (cosines, sparse)]
        return (
            {int(i): float(cosines[i]) for i in best[0] if vector.any()},
            {int(i): float(sparse[i]) for i in best[1] if sparse[i] > 0},
        )


def _embed(embedder: Embedder, texts: list[str], kind: str) -> NDArray[np.float32]:
    # Texts of like length share a batch, which saves most of the padding.
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    found = np.zeros((len(texts), 256), dtype=np.float32)
    for at in range(0, len(order), _EMBED_BATCH):
        part = order[at : at + _EMBED_BATCH]
        found[part] = embedder([texts[i] for i in part], [kind] * len(part))
    return found


def embed_questions(embedder: Embedder, questions: list[str]) -> NDArray[np.float32]:
    """(n, 256)"""
    return _embed(embedder, questions, "query")


def served_embedder() -> Embedder:
    """The embedder whose weights lie in the model repository."""
    return Embedder(
        MODEL_REPOSITORY / "embedder" / "1" / "embedder.onnx", TextTokenizer(MODEL_REPOSITORY / identity.TOKENIZER_FILE)
    )


def _top(scores: NDArray[np.float32], depth: int) -> NDArray[np.int64]:
    best = np.argpartition(-scores, min(depth, len(scores) - 1))[:depth]
    return np.asarray(best[np.argsort(-scores[best], kind="stable")])


def _relative(leg: dict[int, float]) -> dict[int, float]:
    worst, best = min(leg.values()), max(leg.values())
    return {i: (score - worst) / (best - worst) if best > worst else 1.0 for i, score in leg.items()}


def fused(dense: dict[int, float], sparse: dict[int, float], weight: float = DENSE_WEIGHT) -> dict[int, float]:
    """Passage -> fused score, best first; as `services.retriever.fusion` does it."""
    weight = 1.0 if not sparse else 0.0 if not dense else weight
    total: dict[int, float] = {}
    for share, leg in ((weight, dense), (1 - weight, sparse)):
        if leg and share > 0:
            for i, mark in _relative(leg).items():
                total[i] = total.get(i, 0.0) + share * mark
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))


def retrieval_scores(
    found: list[int], dense: dict[int, float], sparse: dict[int, float], marks: dict[int, float]
) -> NDArray[np.float32]:
    """(n, 3), NaN where a leg did not bring the passage."""
    table = [(dense.get(i, np.nan), sparse.get(i, np.nan), marks.get(i, np.nan)) for i in found]
    return np.array(table, dtype=np.float32).reshape(-1, 3)


def holds(text: str, answers: tuple[str, ...]) -> bool:
    return any(re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", text) for answer in answers)


def mark(corpus: Corpus, asked: Asked, found: list[int]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which candidates answer, and which may answer too."""
    gold = np.zeros(len(found), dtype=bool)
    ignored = np.zeros(len(found), dtype=bool)
    long = tuple(answer for answer in asked.answers if len(answer) >= _SHORT_ANSWER)
    own = title_key(asked.title)
    for n, i in enumerate(found):
        gold[n] = corpus.documents[i] in asked.documents
        if not gold[n] and asked.answers:
            same = own != "" and title_key(corpus.titles[i]) == own
            gold[n] = same and holds(corpus.texts[i], long)
            ignored[n] = not gold[n] and holds(corpus.texts[i], asked.answers)
    return gold, ignored


def document_of(text: str) -> str:
    """Id of a document by its text: the same paragraph in two files is one."""
    return f"{zlib.crc32(text.encode()):08x}-{len(text)}"


def _asked(rows: list[Reading]) -> list[Asked]:
    """One for each question with its title; rows that ask the same share their documents."""
    joined: dict[tuple[str, str], tuple[set[str], set[str], str]] = {}
    for row in rows:
        if row.answers:
            documents, answers, _ = joined.setdefault((row.title, row.question), (set(), set(), row.source))
            documents.add(document_of(row.passage))
            if row.spans:
                answers.update(row.passage[a:b] for a, b in row.answers)
    return [
        Asked(source, title, question, frozenset(documents), tuple(sorted(answers)))
        for (title, question), (documents, answers, source) in joined.items()
    ]


def health_questions(rows: list[Reading]) -> list[Asked]:
    """Graded by the question's text: one question may have several answers."""
    joined: dict[str, tuple[set[str], str]] = {}
    for row in rows:
        joined.setdefault(row.question, (set(), row.title))[0].add(document_of(row.passage))
    return [Asked("medquad", title, question, frozenset(found), ()) for question, (found, title) in joined.items()]


def _rows_of(rows: list[Reading]) -> list[tuple[str, str, str]]:
    return list({document_of(row.passage): (document_of(row.passage), row.title, row.passage) for row in rows}.values())


@dataclass(frozen=True)
class TrainingSide:
    """Corpora of articles that are not held out, with the questions that are asked of each."""

    corpora: list[tuple[Corpus, list[Asked]]]
    health: list[tuple[str, str, str]]
    """(title, aspect, passage) of MedQuAD, for the aspect table."""


def _sentences(data: DataFolder, known: Grams) -> tuple[list[tuple[str, str, str]], list[Asked]]:
    pairs = clean(reading_sets.sentence_qa(data), lambda pair: pair, known)
    rows = {document_of(sentence): (document_of(sentence), "", sentence) for _, sentence in pairs}
    return list(rows.values()), [Asked("sentqa", "", question, frozenset({document_of(s)}), ()) for question, s in pairs]


def _searched_for(data: DataFolder) -> list[Reading]:
    """BoolQ: questions as people type them, each with the paragraph that was found for it."""
    rows = reading_sets.bool_q(data)
    return [Reading("boolq", title, question, text, ((0, len(text)),), False) for title, question, text in rows]


def training_side(data: DataFolder, known: Grams, embedder: Embedder) -> TrainingSide:
    """Everything that may be trained on: what shares 13 words with evaluation text (`known`) is dropped."""
    evaluated = evaluation_titles(data)

    def kept(rows: list[Reading]) -> list[Reading]:
        return clean((row for row in rows if trainable(row.title, evaluated)), lambda row: (row.question, row.passage), known)

    stories = reading_sets.fairy_tales(data) + reading_sets.covid_qa(data)
    mixed = kept(reading_sets.squad(data) + reading_sets.sel_qa(data) + stories + _searched_for(data))
    medical = kept(reading_sets.med_quad(data))
    wiki = (pair for pair in reading_sets.wiki_paragraphs(data) if trainable(pair[0], evaluated))
    others = [(document_of(text), title, text) for title, text in clean(wiki, lambda pair: pair[1], known)]
    sentences, sentence_questions = _sentences(data, known)
    aspects = {(str(row["focus"]), str(row["question"])): str(row["qtype"]) for row in data.rows("qa/retrieval/medquad.jsonl")}
    return TrainingSide(
        [
            (Corpus("mixed", _rows_of(mixed) + others, embedder), _asked(mixed)),
            (Corpus("medquad", _rows_of(medical), embedder), health_questions(medical)),
            (Corpus("sentqa", sentences, embedder), sentence_questions),
        ],
        [(row.title, aspects[row.title, row.question], row.passage) for row in medical],
    )


def in_other_words(question: str, rng: random.Random) -> str:
    """Sometimes as people type into a search box: without capitals, without a question mark."""
    if rng.random() < 0.3:
        return question.lower().rstrip("? ")
    return question
