"""SQuAD files (1.1 and 2.0) and the official way to grade an answer to them: exact match and F1 over normalised words.

The normalisation and both scores are those of the official `evaluate-v2.0.py`: lower case, without punctuation and articles, the
best over all labelled answers. Knows no model.
"""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.evaluation.rows import MAX_QUESTION_BYTES, MAX_ROWS, check_size, refused

MAX_CONTEXT_BYTES = 60 * 1024
_ARTICLES = re.compile(r"\b(a|an|the)\b", re.UNICODE)
_PUNCTUATION = frozenset(string.punctuation)


@dataclass(frozen=True, slots=True)
class Answer:
    """A labelled answer; `start` counts characters of the context, -1 where the text does not stand at the labelled place."""

    text: str
    start: int


@dataclass(frozen=True, slots=True)
class SquadRow:
    """One question about one paragraph. Without answers: the paragraph does not hold one."""

    id: str
    title: str
    context: str
    question: str
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class SquadFile:
    rows: list[SquadRow]
    has_impossible: bool
    """Whether it is of the 2.0 kind, in which a question may be left unanswered."""


def normalise(text: str) -> str:
    """Lower case, no punctuation, no articles, single spaces."""
    bare = "".join(character for character in text.lower() if character not in _PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def exact(prediction: str, answers: Iterable[str]) -> float:
    """1 where the prediction is one of the answers, normalised; an empty prediction is right where there are no answers."""
    return float(any(normalise(prediction) == normalise(answer) for answer in _golds(answers)))


def f1(prediction: str, answers: Iterable[str]) -> float:
    """Overlap of normalised words with the best of the answers, 0 to 1."""
    return max(_f1(normalise(prediction).split(), normalise(answer).split()) for answer in _golds(answers))


def _golds(answers: Iterable[str]) -> list[str]:
    return [answer for answer in answers if normalise(answer)] or [""]


def _f1(predicted: Sequence[str], gold: Sequence[str]) -> float:
    if not predicted or not gold:
        return float(list(predicted) == list(gold))
    same = (Counter(predicted) & Counter(gold)).total()
    return 2 * same / (len(predicted) + len(gold)) if same else 0.0


def holds(sentence: str, answers: Iterable[str]) -> bool:
    """Whether one of the answer strings stands in the sentence, in any case, as whole words where it begins or ends with one."""
    return any(_pattern(answer).search(sentence) for answer in answers if answer.strip())


def _pattern(answer: str) -> re.Pattern[str]:
    words = answer.split()
    body = r"\s+".join(re.escape(word) for word in words)
    left = r"(?<!\w)" if re.match(r"\w", words[0]) else ""
    right = r"(?!\w)" if re.search(r"\w$", words[-1]) else ""
    return re.compile(f"{left}{body}{right}", re.IGNORECASE)


def holds_label(start: int, end: int, answers: Iterable[Answer]) -> bool:
    """Whether characters [start, end) of the context hold a labelled answer as a whole."""
    return any(start <= answer.start and answer.start + len(answer.text) <= end for answer in answers if answer.text)


def read_squad(path: Path) -> SquadFile:
    """A SQuAD file, checked; a title may lack.

    Raises:
        CliError: it cannot be read or is no SQuAD file; the message names the place in it.
    """
    check_size(path)
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise refused(path, f" cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        where = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise refused(path, f"{where} is not JSON.") from error
    rows: list[SquadRow] = []
    seen: set[str] = set()
    articles = _part(path, document, "data", list, "")
    for a, article in enumerate(articles):
        title = str(article.get("title", "")).replace("_", " ") if isinstance(article, dict) else ""
        for p, paragraph in enumerate(_part(path, article, "paragraphs", list, f"data[{a}]")):
            place = f"data[{a}].paragraphs[{p}]"
            context = _part(path, paragraph, "context", str, place)
            if len(context.encode()) > MAX_CONTEXT_BYTES:
                raise refused(path, f": {place}.context is longer than {MAX_CONTEXT_BYTES:,} bytes.")
            for q, found in enumerate(_part(path, paragraph, "qas", list, place)):
                row = _row(path, found, f"{place}.qas[{q}]", title, context)
                if row.id in seen:
                    raise refused(path, f": {place}.qas[{q}].id {row.id!r} stands in the file already.")
                seen.add(row.id)
                rows.append(row)
                if len(rows) > MAX_ROWS:
                    raise refused(path, f" holds more than {MAX_ROWS:,} questions.")
    if not rows:
        raise refused(path, " holds no questions.")
    version = str(document.get("version", ""))
    return SquadFile(rows, version.lstrip("v").startswith("2") or any(not row.answers for row in rows))


def _row(path: Path, found: Any, place: str, title: str, context: str) -> SquadRow:
    name, question = _part(path, found, "id", (str, int), place), _part(path, found, "question", str, place).strip()
    if not 1 <= len(question.encode()) <= MAX_QUESTION_BYTES:
        raise refused(path, f": {place}.question must have 1 to {MAX_QUESTION_BYTES:,} bytes.")
    answers = [] if found.get("is_impossible") is True else _part(path, found, "answers", list, place)
    read = []
    for n, answer in enumerate(answers):
        where = f"{place}.answers[{n}]"
        text, start = _part(path, answer, "text", str, where), _part(path, answer, "answer_start", int, where)
        # Files of this form have rows whose offset is off: the words count still, the place does not.
        read.append(Answer(text, start if start >= 0 and context[start : start + len(text)] == text else -1))
    return SquadRow(str(name), title, context, question, tuple(read))


def _part(path: Path, value: Any, name: str, kind: type | tuple[type, ...], place: str) -> Any:
    where = f"{place}.{name}" if place else name
    if not isinstance(value, dict) or not isinstance(value.get(name), kind):
        raise refused(path, f": {where} is missing or of another kind than SQuAD's.")
    return value[name]
