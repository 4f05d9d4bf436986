"""The pieces that every rule asks with: what stands before and behind the verb, the answer's range, the question put together.

This module knows no rule.
"""

from __future__ import annotations

from training import synthetic_words as words
from training.synthetic_clause import Asked, Chunk, Clause
from training.synthetic_phrases import EMPTY_FRONT, YEAR, Topic, auxiliary, joined, subject_text, tidy
from training.synthetic_tags import Token

# Reading a clause stops well at a mark, a conjunction or a relative; at these it lost its way.
BROKEN = frozenset({"N", "NP", "V", "VB", "VZ", "B", "H", "M", "DO", "NUM", "ADJ", "PR", "'", '"', "`", "-", "–"})
# Stands in a question that lost an object on the way; `synthetic.good` refuses it.
_CUT = "\0"
_MAX_TAIL = 14  # tokens of a question behind its verb


class Asking:
    """A clause with its topic, and how to ask about it."""

    def __init__(self, clause: Clause, topic: Topic) -> None:
        self.clause, self.topic, self.tokens = clause, topic, clause.tokens
        self.subject = subject_text(clause, topic)
        self.front, self.rest = auxiliary(clause)
        self.main = words.base_of(clause.tokens[clause.main].lower) or ""
        first = clause.auxiliaries[0] if clause.auxiliaries else clause.main
        self.verbs = (
            " ".join(t.text for t in self.tokens[first : clause.main + 1])
            if not clause.auxiliaries or joined(clause)
            else f"{self.front} {self.rest}"
        )

    def _answer(self, begin: int, end: int) -> tuple[int, int]:
        return self.tokens[begin].start, self.tokens[end - 1].end

    def _tail(self, without: int, up_to: int | None = None, fronted: bool = True, but: tuple[str, ...] = ()) -> str:
        """The chunks behind the verb but one, and what stood before the subject; `but`: prepositions that stay out."""
        kept: list[str] = []
        count = 0
        for index, chunk in enumerate(self.clause.chunks):
            if index == without or (up_to is not None and index >= up_to):
                continue
            if chunk.prep in but and index > without:
                continue
            if chunk.kind in ("PREPVG", "VG", "INF", "PART") and chunk.end == self.clause.end and not self._whole(chunk):
                continue
            if chunk.kind == "PART" and index == without + 1:
                break
            if chunk.kind == "SUB":
                break
            if count + chunk.end - chunk.begin > _MAX_TAIL:
                if chunk.kind == "NP":
                    kept.append(_CUT)
                break
            if chunk.kind == "ADV" and self.tokens[chunk.begin].lower in (
                "also",
                "then",
                "however",
                "later",
                "therefore",
                "only",
                "even",
            ):
                continue
            count += chunk.end - chunk.begin
            kept.append(self.clause.text(chunk.begin, chunk.end))
        if fronted:
            for chunk in self.clause.fronted:
                text = self.clause.text(chunk.begin, chunk.end)
                if chunk.prep not in but and not EMPTY_FRONT.match(text):
                    kept.append(text[0].lower() + text[1:])
        return " ".join(kept)

    def _whole(self, chunk: Chunk) -> bool:
        """Whether the last chunk was read to its end: "by questioning [whether ...]" was not."""
        stopped = self.tokens[chunk.end].tag if chunk.end < len(self.tokens) else "."
        return chunk.end - chunk.begin > 1 and stopped not in BROKEN and stopped not in ("W", "S")

    def _ask(self, head: str, tail: str, begin: int, end: int, kind: str) -> Asked:
        body = f"{head} {self.front} {self.subject} {self.rest} {tail}"
        return Asked(tidy(body), *self._answer(begin, end), kind)

    def _when(self, inside: list[Token], chunk: Chunk) -> str:
        year = len(inside) == 1 and YEAR.fullmatch(inside[0].text) is not None
        if year and inside[0].start % 3 == 0:
            return "In what year" if inside[0].start % 2 else "What year"
        return "When"
