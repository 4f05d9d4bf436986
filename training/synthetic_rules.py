"""Questions about one read clause: subject, complement, object, time, place, quantity, agent, cause, purpose and means.

Each rule takes a chunk away and asks for it, with the auxiliary in front (`did`, `does`, `do` where there is none). The answer is
the range of the chunk that was taken away. This module does not know passages, only a sentence and what its article is about.
"""

from __future__ import annotations

from collections.abc import Iterator

from training import synthetic_words as words
from training.synthetic_clause import Asked, Chunk, Clause
from training.synthetic_phrases import (
    EMPTY_FRONT,
    TIME_PREPS,
    Topic,
    auxiliary,
    is_date,
    is_people,
    is_person,
    is_place,
    joined,
    quantity,
    subject_text,
    tidy,
)
from training.synthetic_phrases import YEAR as _YEAR
from training.synthetic_tags import Token, spell

# Reading a clause stops well at a mark, a conjunction or a relative; at these it lost its way.
_BROKEN = frozenset({"N", "NP", "V", "VB", "VZ", "B", "H", "M", "DO", "NUM", "ADJ", "PR", "'", '"', "`", "-", "–"})
# Stands in a question that lost an object on the way; `synthetic.good` refuses it.
_CUT = "\0"
_MAX_TAIL = 14  # tokens of a question behind its verb


class Questions:
    """Everything that one clause can be asked."""

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

    # --- pieces of text ---------------------------------------------------------------------------------------------------------

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
        return chunk.end - chunk.begin > 1 and stopped not in _BROKEN and stopped not in ("W", "S")

    def _ask(self, head: str, tail: str, begin: int, end: int, kind: str) -> Asked:
        body = f"{head} {self.front} {self.subject} {self.rest} {tail}"
        return Asked(tidy(body), *self._answer(begin, end), kind)

    # --- rules ------------------------------------------------------------------------------------------------------------------

    def _of_subject(self) -> Iterator[Asked]:
        clause, tokens = self.clause, self.tokens
        inside = tokens[slice(*clause.subject)]
        if (
            inside[0].tag in ("PR", "POS")
            or inside[0].lower in ("this", "that", "these", "those", "another", "such")
            or not clause.chunks
        ):
            return
        if any(t.tag == "POS" for t in inside):
            return
        stopped = tokens[clause.end].tag if clause.end < len(tokens) else "."
        tail = self._tail(-1)
        if stopped in _BROKEN or not tail or (self.main in ("say", "be") and not clause.copula):
            return
        head = tokens[clause.subject_head]
        if inside[0].tag == "NUM" or (
            inside[0].lower in ("about", "over", "only", "nearly", "some") and len(inside) > 1 and inside[1].tag == "NUM"
        ):
            yield from self._counted_subject(inside, tail)
            return
        if clause.copula and not self._specific_complement():
            return
        acts = (
            self.main in words.PERSONAL
            and not clause.passive
            and head.tag == "NP"
            and inside[-1].tag == "NP"
            and inside[0].tag == "NP"
        )
        named = len(inside) == 1 and not clause.copula and words.is_first_name(head.text)
        if named or acts or is_person(inside, self.topic) or is_people(tokens, clause.subject_head):
            asked = "Who"
        elif len(inside) == 1 and head.tag == "NP" and head.text not in self.topic.name:
            # One capitalised word that nothing is known of may be a person, a place or a firm.
            return
        elif head.tag == "N" and len(inside) > 2 and inside[-1] is head and inside[0].tag == "D" and inside[1].tag == "NP":
            asked = f"Which {head.text}"
        elif tokens[clause.main].tag == "VB" and not clause.auxiliaries:
            return
        else:
            asked = "What"
        yield Asked(tidy(f"{asked} {self.verbs} {tail}"), *self._answer(*clause.subject), "subject")

    def _specific_complement(self) -> bool:
        """ "Who is a Dutch director?" has many answers, "Who was the first king of Spain?" one."""
        first = self.clause.chunks[0]
        if first.kind != "NP":
            return len(self.clause.chunks) > 1
        opening = self.tokens[first.begin].lower
        return opening == "the" or (self.clause.chunks[-1].end - first.begin >= 8 and len(self.clause.chunks) > 1)

    def _counted_subject(self, inside: list[Token], tail: str) -> Iterator[Asked]:
        at = 0 if inside[0].tag == "NUM" else 1
        begin = self.clause.subject[0]
        stop = at
        while stop < len(inside) and (inside[stop].tag == "NUM" or inside[stop].text == "%"):
            stop += 1
        noun = spell(inside[stop:])
        if not noun or _YEAR.fullmatch(inside[at].text):
            return
        if inside[stop - 1].text.endswith("%") or inside[stop].lower == "percent":
            yield Asked(
                tidy(f"What percentage {noun.removeprefix('percent ')} {self.verbs} {tail}"),
                *self._answer(begin, begin + stop),
                "percentage",
            )
        elif self.tokens[self.clause.subject_head].text.endswith("s") or noun.startswith("people"):
            yield Asked(tidy(f"How many {noun} {self.verbs} {tail}"), *self._answer(begin, begin + stop), "how many")

    def _of_complement(self) -> Iterator[Asked]:
        clause = self.clause
        if not clause.copula or not clause.chunks or clause.chunks[0].kind != "NP":
            return
        first = clause.chunks[0]
        end = first.end
        tokens = self.tokens
        if tokens[first.begin].tag in ("PR", "N"):
            return
        for chunk in clause.chunks[1:]:
            if (
                chunk.kind == "PP"
                and chunk.begin == end
                and end - first.begin < 12
                and not is_date(tokens[chunk.begin + 1 : chunk.end])
            ):
                end = chunk.end
            else:
                break
        about = self.subject == self.topic.name or tokens[clause.subject_head].tag == "NP"
        person = self.topic.person if self.subject == self.topic.name else is_person(tokens[slice(*clause.subject)], self.topic)
        if len(clause.auxiliaries) == 0:
            who = "Who" if person or (not about and is_person(tokens[first.begin : first.end], self.topic)) else "What"
            yield Asked(tidy(f"{who} {self.front} {self.subject}"), *self._answer(first.begin, end), "define")
            kind = tokens[first.begin].lower in ("a", "an") and all(
                t.tag in ("D", "ADJ", "NP", "N") for t in tokens[first.begin : first.head]
            )
            if about and kind and not person and tokens[first.head].tag == "N" and first.head - first.begin >= 2:
                yield Asked(
                    tidy(f"What kind of {tokens[first.head].text} {self.front} {self.subject}"),
                    *self._answer(first.begin, first.head + 1),
                    "what kind",
                )
        if about:
            yield from self._of_participles(person)

    def _of_participles(self, person: bool) -> Iterator[Asked]:
        """ "is a film directed by A", "is a village located in B"."""
        clause, tokens = self.clause, self.tokens
        for index, chunk in enumerate(clause.chunks[:-1]):
            following = clause.chunks[index + 1]
            if chunk.kind != "PART" or following.kind != "PP" or person:
                continue
            verb = tokens[chunk.begin].lower
            inside = tokens[following.begin + 1 : following.end]
            front = "was" if words.base_of(verb) not in ("locate", "situate", "base", "use", "find") else "is"
            answer = self._answer(following.begin + 1, following.end)
            if following.prep == "by":
                base = words.base_of(verb)
                past = words.BASE_TO_PAST.get(base or "", verb)
                who = (
                    "Who"
                    if is_person(inside, self.topic) or verb in ("directed", "written", "produced", "composed", "painted")
                    else "What"
                )
                yield Asked(tidy(f"{who} {past} {self.subject}"), *answer, "by whom")
            elif following.prep in ("in", "on") and is_date(inside):
                yield Asked(tidy(f"When {front} {self.subject} {verb}"), *answer, "when")
            elif is_place(following, tokens, verb) or (following.prep in ("in", "at") and verb in ("located", "situated", "based")):
                yield Asked(tidy(f"Where {front} {self.subject} {verb}"), *answer, "where")

    def _of_asides(self) -> Iterator[Asked]:
        clause, tokens = self.clause, self.tokens
        for begin, end in clause.asides:
            inside = tokens[begin + 1 : end - 1]
            if clause.tokens[clause.subject_head].tag != "NP":
                return
            if inside and tokens[begin].text == "," and inside[0].lower in ("a", "an", "the") and len(inside) <= 14:
                who = "Who" if is_person(tokens[slice(*clause.subject)], self.topic) else "What"
                tense = "is" if clause.tokens[clause.main].tag in ("VZ", "M") or self.front in ("is", "does", "has") else "was"
                yield Asked(tidy(f"{who} {tense} {self.subject}"), *self._answer(begin + 1, end - 1), "appositive")

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

    def _when(self, inside: list[Token], chunk: Chunk) -> str:
        year = len(inside) == 1 and _YEAR.fullmatch(inside[0].text) is not None
        if year and inside[0].start % 3 == 0:
            return "In what year" if inside[0].start % 2 else "What year"
        return "When"

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
            clause.chunks[-1].end >= clause.end and tokens[min(clause.end, len(tokens) - 1)].tag in _BROKEN
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
