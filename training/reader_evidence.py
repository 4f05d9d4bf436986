"""Lists of passages with what both models say of them and what is right: what the reader is weighed and calibrated on.

Three kinds: BM25's lists around the gold passage or without it (`answerer_data.Pool`), the gold paragraph alone, and what the mesh
would hand over after its search and its reranker (`reader_served`). This module fits nothing.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from ragmesh_models.engine import Reading as Read
from ragmesh_models.engine import is_real_sentence
from ragmesh_models.feature_engine import LexicalEngine
from ragmesh_models.features import FeatureReader
from ragmesh_models.lexical import IdfTable
from ragmesh_models.questions import read_question
from ragmesh_models.reader_engine import Evidence, gather
from ragmesh_models.reading import Reader

from training import dev_sets
from training.answerer_data import Asked, Pool
from training.passage_data import holds
from training.progress import Run
from training.reader_data import Example, half_of
from training.reader_served import Remembered, Searched, serve
from training.sources import DataFolder
from training.span_recipe import plain
from training.splits import title_key

SEED = 20260721
MOST_LISTS = 2_000  # of each half
MOST_ALONE = 1_200


@dataclass(frozen=True)
class Listed:
    """One list with what both models say and what is right."""

    source: str
    case: str
    evidence: Evidence
    gold: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    real: NDArray[np.bool_]
    answers: frozenset[str]  # normalised short answers
    texts: list[str]
    tunes: bool = True  # of what was searched: whether its article belongs to the half that tunes


def read_list(pool: Pool, asked: Asked, case: str, rng: random.Random, reader: Reader, lexical: LexicalEngine) -> Listed | None:
    chosen, use_titles = pool.choose(asked, case, rng)
    if not chosen:
        return None
    read = Read(read_question(asked.row.question, pool.idf))
    for i in chosen:
        read.add(pool.texts[i], pool.titles[i] if use_titles else "")
    features = FeatureReader(read.question, read.passages, pool.idf)
    gold, ignored = (np.zeros(len(features.candidates), dtype=bool) for _ in range(2))
    if case == "answerable":
        pool.mark(asked, chosen, features, gold, ignored)
    ranking = lexical.rank(read)
    if not ranking.sentences or (case == "answerable" and not gold.any()):
        return None
    answers = frozenset(plain(asked.row.passage[a:b]) for a, b in asked.row.answers) if asked.row.spans else frozenset()
    real = np.array([is_real_sentence(one.candidate) for one in ranking.sentences])
    return Listed(asked.row.source, case, gather(reader, ranking, read), gold, ignored, real, answers, read.texts)


def lists_of(pool: Pool, half: int, reader: Reader, lexical: LexicalEngine, run: Run, most: int = MOST_LISTS) -> list[Listed]:
    rng = random.Random(SEED + half)
    asked = [one for one in pool.asked if len(title_key(one.row.title)) % 2 == half]
    rng.shuffle(asked)
    found: list[Listed] = []
    for one in asked:
        cases = ["answerable" if one.answers else "impossible"]
        if rng.random() < 0.5:
            cases.append("elsewhere")
        for case in cases:
            listed = read_list(pool, one, case, rng, reader, lexical)
            if listed is not None:
                found.append(listed)
        run.say(len(found), most, f"lists of half {half} read")
        if len(found) >= most:
            break
    return found


def _range(place: dev_sets.Row) -> tuple[int, int]:
    begin = int(place["answer_start"])
    return begin, begin + len(place["text"])


def users_examples(data: DataFolder) -> list[Example]:
    """Users' questions (NQ-oracle's tune half, evaluation only) with their paragraphs."""
    return [
        Example("users", row["title"], row["question"], row["text"], tuple(map(_range, row["places"])), True)
        for row in dev_sets.natural_questions(data.apart())
    ]


def alone(
    examples: Iterable[Example],
    half: int,
    reader: Reader,
    lexical: LexicalEngine,
    idf: IdfTable,
    run: Run,
    source: str = "alone",
) -> list[Listed]:
    """Questions over their own paragraph and nothing else, answerable or not."""
    rng = random.Random(SEED + half)
    chosen = [one for one in examples if one.spans and half_of(one.title) == half]
    rng.shuffle(chosen)
    found: list[Listed] = []
    for one in chosen[:MOST_ALONE]:
        read = Read(read_question(one.question, idf))
        read.add(one.passage, one.title)
        ranking = lexical.rank(read)
        if not ranking.sentences:
            continue
        answers = frozenset(one.passage[a:b] for a, b in one.answers)
        folded = tuple(answer.casefold() for answer in answers)
        gold = np.array([holds(read.body(s.candidate).casefold(), folded) for s in ranking.sentences])
        case = "answerable" if answers else "impossible"
        real = np.array([is_real_sentence(s.candidate) for s in ranking.sentences])
        said = frozenset(map(plain, answers))
        evidence = gather(reader, ranking, read)
        found.append(Listed(source, case, evidence, gold, np.zeros_like(gold), real, said, read.texts, half == 0))
        run.say(len(found), min(MOST_ALONE, len(chosen)), f"paragraphs of half {half} read")
    return found


def served(searches: Iterable[Searched], weight: float, reader: Remembered, lexical: LexicalEngine, idf: IdfTable) -> list[Listed]:
    """Searches as the answerer gets them, in the reranker's order; where another passage holds the answer, its sentence is ignored.

    Args:
        weight: of the reader in the reranker's order.
    """
    found: list[Listed] = []
    for one in searches:
        what = serve(one, one.scores(weight), reader, lexical, idf)
        if what is not None:
            gold, ignored = what.gold & what.cited, what.gold & ~what.cited
            case = "answerable" if gold.any() else "missed"
            answers = frozenset(map(plain, one.answers))
            found.append(
                Listed(
                    f"served_{one.source}", case, what.evidence, gold, ignored, what.real, answers, what.request.texts, one.tunes
                )
            )
    return found
