"""Questions for a definition ("What is X?", "Who is X?", "Was ist X?"), and how much a sentence looks like one.

A definition says of the asked term what it is: the term stands at its beginning as the subject, a copula follows, then a noun. The
features are counts that a reader can check by hand; what each is worth, `training.definition_recipe` found out. The score is added
to those of the networks, and is 0 for every other question. Knows no network.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from ragmesh_models.lexical import stem, words_of

FILE = "definitions.json"
NAMES = (
    "here", "begins", "is", "is_later", "is_a", "is_not", "apposition", "modified", "title", "title_first", "section_first",
    "document_first", "is_first",
)  # fmt: skip
MAX_TERM = 6  # words
_GAP = 8  # words between a subject and its copula, as in "Cannabidiol, usually shortened to CBD, is"

_ARTICLES = frozenset({"a", "an", "the", "ein", "eine", "einen", "der", "die", "das"})
_A = frozenset({"a", "an", "one", "any", "the", "another", "ein", "eine", "einer", "eines", "der", "die", "das"})
_NOT = frozenset({"not", "no", "nicht", "kein", "keine"})
_COPULA = frozenset(
    map(stem, "is are was were refers means describes denotes stands ist sind war waren bezeichnet bedeutet steht".split())  # noqa: SIM905
)
_TERM = r"(?P<term>[^?!.,;:]{2,80}?)"
_QUESTIONS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"^(?:so |and )?what does {_TERM} (?:mean|stand for)$",
        rf"^what is (?:meant by|the meaning of|the definition of) {_TERM}$",
        rf"^(?:so |and |please )?(?:what|who)(?:['’]s| is| are| was| were) {_TERM}$",
        rf"^(?:please )?(?:define|explain what|tell me what) {_TERM}(?: is| are| means)?$",
        rf"^(?:und )?(?:was|wer) (?:ist|sind|war|waren|bedeutet|heißt) {_TERM}$",
        rf"^(?:was versteht man unter|wofür steht) {_TERM}$",
    )
]
_LEAD = re.compile(r"^(?P<article>an?|the|eine?n?|der|die|das)\b ?", re.IGNORECASE)
# "What is the capital of Mongolia?", "What is it used for?" ask for something else.
_RELATION = re.compile(
    r"\b(?:of|in|for|at|to|on|by|with|from|that|which|who|called|named|von|in|im|für|am|zum?r?)\b", re.IGNORECASE
)
_POINTS = frozenset(
    """it this that these those he she they you your yours my mine his her its their our there here going happening up new the
    name names best most first last only main""".split()  # noqa: SIM905
)


def asked_term(question: str) -> tuple[str, ...]:
    """Stems of what a question wants defined; empty where it wants something else."""
    text = question.strip().rstrip("?!. ").replace("(are) ", "")
    for pattern in _QUESTIONS:
        match = pattern.match(text)
        if match is None:
            continue
        term = match["term"].strip()
        lead = _LEAD.match(term)
        definite = lead is not None and lead["article"].lower() in ("the", "der", "die", "das")
        term = term[lead.end() :] if lead else term
        if definite and _RELATION.search(term):
            return ()
        words = words_of(term)
        if not 0 < len(words.stems) <= MAX_TERM or all(words.stops) or _POINTS.intersection(w.lower() for w in words.surface):
            return ()
        if sum(_RELATION.fullmatch(w) is not None for w in words.surface) > 1:
            return ()
        return tuple(words.stems)
    return ()


def described(
    stems: Sequence[str], term: Sequence[str], position: int, parts: Sequence[Collection[str]], content: Collection[str]
) -> list[float] | None:
    """Features of one sentence, in the order of NAMES; None where it does not hold the term and is not titled by it.

    Args:
        position: of the sentence in its passage.
        parts: content stems of each part of the passage's title.
        content: content stems of the term.
    """
    size = len(term)
    at = next((n for n in range(len(stems) - size + 1) if tuple(stems[n : n + size]) == tuple(term)), -1)
    titled = any(part and set(part) == set(content) for part in parts)
    if at < 0 and not titled:
        return None
    opening = 0
    while opening < len(stems) and stems[opening] in _ARTICLES:
        opening += 1
    begins = at >= 0 and at <= opening
    follows = at + size
    # "CBD (cannabidiol)", whose other name reads as the same; "cannabidiol, or CBD,".
    while begins and follows < len(stems) and (stems[follows] == "or" or tuple(stems[follows : follows + size]) == tuple(term)):
        follows += 1 if stems[follows] == "or" else size
    verb = next((n for n in range(follows, min(len(stems), follows + _GAP + 1)) if stems[n] in _COPULA), -1) if at >= 0 else -1
    after = stems[verb + 1] if 0 <= verb < len(stems) - 1 else ""
    is_, later = begins and verb == follows, begins and verb > follows
    first = position == 0
    return [
        float(at >= 0),
        float(begins),
        float(is_),
        float(later),
        float((is_ or later) and after in _A),
        float((is_ or later) and after in _NOT),
        float(begins and follows < len(stems) and stems[follows] in _A),
        float(at >= 0 and not begins and at <= opening + 3 and verb == follows),
        float(titled),
        float(titled and first),
        float(first and bool(parts) and set(parts[-1]) == set(content)),
        float(first and len(parts) == 1),
        float(first and (is_ or later)),
    ]


class DefinitionScorer:
    """The weights of the features.

    Args:
        weights: (len(NAMES),) in nats.
    """

    def __init__(self, weights: Sequence[float]) -> None:
        if len(weights) != len(NAMES):
            raise ValueError(f"{FILE} was fitted on other features")
        self.weights = tuple(weights)

    @classmethod
    def load(cls, folder: Path) -> DefinitionScorer:
        """From the file of a model folder.

        Raises:
            ValueError: it is of other features.
        """
        read = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if tuple(read["names"]) != NAMES:
            raise ValueError(f"{FILE} was fitted on other features")
        return cls(read["weights"])

    def score(self, found: Sequence[float] | None) -> float:
        """What a sentence gains, in nats."""
        return sum(weight * value for weight, value in zip(self.weights, found, strict=True)) if found is not None else 0.0
