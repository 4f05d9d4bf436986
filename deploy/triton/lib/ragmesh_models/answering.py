"""Chooses the sentences that answer a question, and says how likely the passages hold the answer at all.

`Reading` is filled passage by passage, so that a caller can stop between two; `Answerer.decide` does the rest at once, with the
engine that the caller names. All ranges that leave this module are UTF-8 bytes of the passage. It does not know Triton.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from ragmesh_models import feature_engine
from ragmesh_models.baseline_engines import FirstEngine, OverlapEngine
from ragmesh_models.engine import Engine, Ranking, Reading, Scored, ShortAnswer, is_real_sentence
from ragmesh_models.feature_engine import LexicalEngine
from ragmesh_models.features import Candidate
from ragmesh_models.identity import TOKENIZER_FILE
from ragmesh_models.lexical import IdfTable
from ragmesh_models.questions import KINDS, Question, asks_who, read_question
from ragmesh_models.reader_engine import ReaderEngine
from ragmesh_models.reading import FILES as READER_FILES
from ragmesh_models.reading import Reader
from ragmesh_models.tokens import byte_positions

MAX_PASSAGES = 64
MAX_TEXT_BYTES = 64 * 1024
MAX_QUESTION_BYTES = 8 * 1024
MAX_SENTENCES = 16
NO_RANGE = (-1, -1)
ENGINES = ("reader", "lexical", "overlap", "first")
"""Names that a caller may say. `reader` is answered by `lexical` where no reader is installed."""
# A sentence of another passage is shown from this part of the best one's share on: it is one more citation that may be wrong.
# How near one of the same passage must be, the ranking says.
_NEAR_BEST_ELSEWHERE = 0.9
_AS_GOOD = 1.0  # nats between two that cannot be told apart
_DUPLICATE = 0.6
# How much the log odds of a sentence's short answer count in what is shown second: tuning halves, one of two sentences right, SQuAD
# 0.0, users' questions +0.5 in searched lists, +1.1 in paragraphs (+0.3 to +1.9).
_SHORT_SHARE = 0.3
_HAVE_SHORT = frozenset(
    {"who", "when", "where", "number", "which", "what"}
)  # kinds of questions that a name or a number may answer
_HE = frozenset({"he", "she"})
_PERSON = frozenset({"he", "she", "his", "her"})
_FARTHEST = 3  # sentences further back in which the person is looked for that a "he" means


@dataclass(frozen=True)
class Chosen:
    """One sentence of the answer."""

    score: float
    """Calibrated probability that it answers the question."""
    passage: int
    sentence: tuple[int, int]
    span: tuple[int, int]
    """Its best short answer; NO_RANGE where it has no candidate."""
    span_score: float
    shown: bool
    """Near enough to the best to be shown to a visitor."""
    leads: bool = False
    """Not picked for itself: the best sentence, which comes next, leans on it."""


@dataclass(frozen=True)
class Decision:
    score: float
    threshold: float
    span_threshold: float
    sentences: list[Chosen]
    """Best first, the shown ones before the others; only a leading sentence stands before the best."""
    passage: int = -1
    """Of the best short answer over all passages; -1 without any."""
    span: tuple[int, int] = NO_RANGE
    span_score: float = 0.0


def _alike(a: Candidate, b: Candidate) -> bool:
    mine, other = set(a.counts), set(b.counts)
    return len(mine & other) > _DUPLICATE * max(1, min(len(mine), len(other)))


class Answerer:
    """The engines that are installed, and the choice of sentences that they share."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self._idf = IdfTable.load(folder / "idf.bin")
        lexical = LexicalEngine(folder, self._idf, threads)
        self.reader = reader = Reader.open(folder, folder.parent.parent / TOKENIZER_FILE)
        self._engines: dict[str, Engine] = {
            "reader": ReaderEngine(reader, lexical) if reader else lexical,
            "lexical": lexical,
            "overlap": OverlapEngine(),
            "first": FirstEngine(),
        }
        self.graphs = [*lexical.graphs, *([reader.graph] if reader else [])]

    @staticmethod
    def files(folder: Path) -> list[Path]:
        """What the model loads, for its digest."""
        installed = (folder / "reader.onnx").is_file()
        names = sorted({*feature_engine.FILES, *(READER_FILES if installed else ())})
        return [folder / name for name in names]

    def start(self, question: str) -> Reading:
        asked = read_question(question, self._idf)
        return Reading(asked, known=self.reader.lexical_half) if self.reader else Reading(asked)

    def decide(self, reading: Reading, max_sentences: int, engine: str = "reader") -> Decision:
        """The decision over everything that was read; without a single sentence it is 0 and empty.

        Raises:
            KeyError: there is no such engine.
        """
        ranking = self._engines[engine].rank(reading)
        positions = [byte_positions(text) for text in reading.texts]

        def in_bytes(passage: int, start: int, end: int) -> tuple[int, int]:
            return int(positions[passage][start]), int(positions[passage][end])

        def span_of(short: ShortAnswer | None) -> tuple[int, int]:
            return in_bytes(short.passage, short.start, short.end) if short else NO_RANGE

        sentences = [
            Chosen(
                score=one.support,
                passage=one.candidate.passage,
                sentence=in_bytes(one.candidate.passage, one.candidate.start, one.candidate.end),
                span=span_of(one.short),
                span_score=one.short.probability if one.short else 0.0,
                shown=shown,
                leads=leads,
            )
            for one, shown, leads in choose(ranking, max_sentences, reading.question)
        ]
        short = ranking.short
        return Decision(
            score=ranking.answerable,
            threshold=ranking.threshold,
            span_threshold=ranking.span_threshold,
            sentences=sentences,
            passage=short.passage if short else -1,
            span=span_of(short),
            span_score=short.probability if short else 0.0,
        )


def choose(ranking: Ranking, most: int, question: Question) -> list[tuple[Scored, bool, bool]]:
    """Sentences best first, each with whether it is shown and whether it only leads to the best, before which it then stands."""
    real = [one for one in ranking.sentences if is_real_sentence(one.candidate)]
    order = sorted(real or ranking.sentences, key=lambda one: -one.score)
    if not order:
        return []
    best = order[0]
    lead = _lead(ranking, best) if most > 1 else None
    taken = [best] if lead is None else [lead, best]
    answers = lead is not None and _names_who(question, lead, best)
    chosen = [(one, True, one is lead and not answers) for one in taken]
    own, elsewhere = best.score + math.log(ranking.near), best.score + math.log(_NEAR_BEST_ELSEWHERE)
    near: list[Scored] = []
    far: list[Scored] = []
    for one in order[1:]:
        floor = own if one.candidate.passage == best.candidate.passage else elsewhere
        (near if one.score >= floor else far).append(one)
    if not _may_stand_alone(ranking, best, near):
        others = [one for one in far if not any(_alike(one.candidate, other.candidate) for other in taken)]
        second = _second(best, others, _SHORT_SHARE if KINDS[question.kind] in _HAVE_SHORT else 0.0)
        near += [second] if second is not None else []
    for one, shown in [*((one, True) for one in near), *((one, False) for one in far)]:
        if len(chosen) >= most:
            break
        if not any(one is other or _alike(one.candidate, other.candidate) for other in taken):
            taken.append(one)
            chosen.append((one, shown, False))
    return chosen


def _may_stand_alone(ranking: Ranking, best: Scored, near: list[Scored]) -> bool:
    """Whether the best one is likely enough right, or another is shown with it anyway."""
    return ranking.answerable >= ranking.sure or any(not _alike(one.candidate, best.candidate) for one in near)


def _second(best: Scored, others: list[Scored], share: float) -> Scored | None:
    """What is shown with a doubtful best one, of `others`, best first.

    The next best of its passage, which is cited already and often the one that was meant; of another passage where that is about as
    good and the best one's has nothing like it. A best one that is wrong is often near the subject and does not say what is asked:
    the log odds of a sentence's short answer count by `share`.
    """

    def worth(one: Scored) -> float:
        return one.score + (share * _log_odds(one.short.probability if one.short else 0.0) if share else 0.0)

    likely = sorted(others, key=worth, reverse=True)
    own = next((one for one in likely if one.candidate.passage == best.candidate.passage), None)
    other = next((one for one in likely if one.candidate.passage != best.candidate.passage), None)
    if other is None or other.score < best.score - _AS_GOOD:
        return own
    return other if own is None or worth(own) < worth(other) - _AS_GOOD else own


def _log_odds(probability: float) -> float:
    bounded = min(1 - 1e-6, max(1e-6, probability))
    return math.log(bounded / (1 - bounded))


def _lead(ranking: Ranking, best: Scored) -> Scored | None:
    """The sentence before the best one, where that opens with a pronoun or a connective; of a person, the last that names them."""
    if not best.candidate.is_pronoun_led:
        return None
    passage, position = best.candidate.passage, best.candidate.position
    at = {
        one.candidate.position: one
        for one in ranking.sentences
        if one.candidate.passage == passage and is_real_sentence(one.candidate)
    }
    nearest = at.get(position - 1)
    before = nearest
    for place in range(position - 2, position - 2 - _FARTHEST, -1):
        if before is None or not (_opens_with(best, _PERSON) and _opens_with(before, _PERSON)):
            break
        before = at.get(place)
    return before or nearest


def _names_who(question: Question, lead: Scored, best: Scored) -> bool:
    """Whether the leading sentence is the one that answers: "Who painted it?", "Ada Brook is a painter. She painted it."

    Where the question itself names the person ("Who was Roger Adams?"), what is said of them is the answer.
    """
    if not asks_who(question) or not _opens_with(best, _HE):
        return False
    return not question.term or not set(question.term) <= set(lead.candidate.words.stems)


def _opens_with(one: Scored, words: frozenset[str]) -> bool:
    return next(iter(one.candidate.words.surface), "").lower() in words
