"""Questions about one read clause: subject, complement, object, time, place, quantity, agent, cause, purpose and means.

Each rule takes a chunk away and asks for it, with the auxiliary in front (`did`, `does`, `do` where there is none). The answer is
the range of the chunk that was taken away. This module does not know passages, only a sentence and what its article is about.
"""

from __future__ import annotations

from collections.abc import Iterator

from training import synthetic_words as words
from training.synthetic_asking import BROKEN
from training.synthetic_clause import Asked, Chunk
from training.synthetic_phrases import TIME_PREPS, is_date, is_person, is_place, quantity, tidy
from training.synthetic_subject import SubjectQuestions
from training.synthetic_tags import Token


class Questions(SubjectQuestions):
    """Everything that one clause can be asked."""

    def all(self) -> Iterator[Asked]:
        stopped = self.tokens[self.clause.end].lower if self.clause.end < len(self.tokens) else ""
        expletive = self.tokens[self.clause.subject[0]].lower == "it" and (
            stopped in ("that", "whether", "how", "who")
            or any(c.kind == "INF" for c in self.clause.chunks)
            or self.main in ("rain", "take")
        )
        if self.subject and self.front and not expletive:
            yield from self._of_chunks()
            yield from self._of_complement()
            yield from self._of_asides()
        yield from self._of_subject()

    def _of_chunks(self) -> Iterator[Asked]:
        clause, tokens = self.clause, self.tokens
        for index, chunk in enumerate(clause.chunks):
            inside = tokens[chunk.begin + (chunk.kind == "PP") : chunk.end]
            if chunk.kind == "PP":
                yield from self._of_prepositional(index, chunk, inside)
            elif chunk.kind == "NP" and not clause.copula:
                yield from self._of_object(index, chunk, inside)
            elif (chunk.kind == "SUB" and chunk.prep == "because" and index and inside[1].lower != "of") or (
                chunk.kind == "INF" and chunk.end - chunk.begin >= 3 and self._is_purpose(index)
            ):
                yield self._ask("Why", self._tail(index, index), chunk.begin, chunk.end, "why")
            elif chunk.kind == "INF" and clause.passive and self.main == "use" and index == 0:
                yield self._ask("What", "for", chunk.begin, chunk.end, "used for")
            elif chunk.kind == "PREPVG" and chunk.prep == "by" and chunk.end - chunk.begin >= 3:
                yield self._ask("How", self._tail(index, index), chunk.begin, chunk.end, "how")
            elif (
                chunk.kind == "PREPVG"
                and chunk.prep == "for"
                and self.main in ("use", "know", "award", "arrest", "criticise", "criticize", "praise")
            ):
                yield self._ask("What", self._tail(index, index) + " for", chunk.begin + 1, chunk.end, "what for")
        for chunk in clause.fronted:
            inside = tokens[chunk.begin + 1 : chunk.end]
            if chunk.prep in ("in", "on", "during") and is_date(inside):
                tail = self._tail(-1, fronted=False)
                if tail or not clause.copula:
                    yield self._ask(self._when(inside, chunk), tail, chunk.begin + 1, chunk.end, "when")

    def _is_purpose(self, index: int) -> bool:
        """`to` behind an object tells why, behind most verbs alone it tells what."""
        if index == 0 or self.clause.copula:
            return False
        kinds = [chunk.kind for chunk in self.clause.chunks[:index]]
        return "NP" in kinds and self.main in (
            "use",
            "build",
            "create",
            "establish",
            "found",
            "develop",
            "introduce",
            "leave",
            "design",
            "make",
            "form",
            "hold",
            "take",
            "add",
            "launch",
            "write",
            "send",
            "change",
        )

    def _of_prepositional(self, index: int, chunk: Chunk, inside: list[Token]) -> Iterator[Asked]:
        clause, prep = self.clause, chunk.prep
        tail = self._tail(index)
        complete = tail or not clause.copula
        if inside[0].tag in ("PR", "POS") or not complete or (clause.copula and index > 1):
            return
        answer = chunk.begin + 1, chunk.end
        if prep in TIME_PREPS and is_date(inside):
            if prep in ("in", "on", "during", "around", "at"):
                yield self._ask(self._when(inside, chunk), tail, *answer, "when")
            elif prep in ("since", "until", "from") and not clause.copula:
                yield self._ask(f"{prep.capitalize()} when", tail, *answer, "when")
            return
        if is_place(
            chunk, self.tokens, self.tokens[clause.main].lower if self.main not in ("go", "move", "travel", "return") else self.main
        ):
            yield self._ask(
                "Where", self._tail(index, None if prep in ("in", "at") else index, but=("in", "at", "near")), *answer, "where"
            )
            return
        if (
            prep == "for"
            and len(inside) >= 2
            and inside[0].tag == "NUM"
            and inside[-1].lower in ("years", "days", "months", "weeks", "hours", "minutes", "decades")
        ):
            yield self._ask("How long", tail, *answer, "how long")
        elif prep == "by" and clause.passive:
            yield from self._of_agent(index, inside, answer)
        elif prep == "for" and clause.passive and self.main in ("use", "know", "note", "name"):
            yield self._ask("What", self._tail(index, index) + " for", *answer, "what for")
        elif prep == "as" and self.main in ("know", "serve", "work", "use", "describe", "regard") and len(inside) <= 8:
            yield self._ask("What", self._tail(index, index) + " as", *answer, "what as")
        elif (
            prep in ("with", "from", "to", "about", "for", "into", "against", "on")
            and index == len(clause.chunks) - 1
            and not clause.copula
        ):
            asked = "Who" if is_person(inside, self.topic) else "What"
            if len(inside) <= 8 and inside[-1].tag in ("N", "NP") and len(tail.split()) <= 6:
                yield self._ask(asked, self._tail(index) + f" {prep}", *answer, "what prep")

    def _of_agent(self, index: int, inside: list[Token], answer: tuple[int, int]) -> Iterator[Asked]:
        """The passive turned round: "was founded by A" gives "Who founded"."""
        who = (
            "Who"
            if is_person(inside, self.topic)
            or self.main in ("write", "direct", "found", "compose", "design", "produce", "paint", "invent")
            else "What"
        )
        if self.front in ("was", "were") and self.rest:
            verb = self.rest.split()[-1]
            base = words.base_of(verb.lower())
            past = words.BASE_TO_PAST.get(base or "", verb)
            yield Asked(tidy(f"{who} {past} {self.subject} {self._tail(index)}"), *self._answer(*answer), "by whom")
        else:
            yield self._ask(who, self._tail(index) + " by", *answer, "by whom")

    def _of_object(self, index: int, chunk: Chunk, inside: list[Token]) -> Iterator[Asked]:
        clause, tokens = self.clause, self.tokens
        if inside[0].tag in ("PR",) or self.main in words.SOFT or is_date(inside):
            return
        if any(c.kind == "NP" for i, c in enumerate(clause.chunks) if i != index) or (
            clause.passive and self.main not in ("name", "call", "award", "give")
        ):
            return
        after = tokens[clause.end].lower if clause.end < len(tokens) else "."
        if after in ("that", "how", "whether", "what", "why") or (
            clause.chunks[-1].end >= clause.end and tokens[min(clause.end, len(tokens) - 1)].tag in BROKEN
        ):
            return
        tail = self._tail(index)
        counted = quantity(inside)
        if counted:
            words_at, noun, asked = counted
            yield self._ask(f"{asked} {noun}", tail, chunk.begin, chunk.begin + words_at, "how many")
            return
        if chunk.head < 0 or tokens[chunk.head].tag not in ("N", "NP"):
            return
        end = chunk.end
        if is_person(inside, self.topic):
            yield self._ask("Who", tail, chunk.begin, end, "object")
        elif (
            inside[0].lower == "the"
            and inside[1].tag == "NP"
            and tokens[chunk.head].tag == "N"
            and chunk.head - chunk.begin >= 2
            and chunk.head == end - 1
        ):
            yield self._ask(f"Which {tokens[chunk.head].text}", tail, chunk.begin, end, "object")
        else:
            yield self._ask("What", tail, chunk.begin, end, "object")
