"""Questions about the subject of a clause and about what it is: who, what, how many, what kind of thing, by whom made."""

from __future__ import annotations

from collections.abc import Iterator

from training import synthetic_words as words
from training.synthetic_asking import BROKEN, Asking
from training.synthetic_clause import Asked
from training.synthetic_phrases import YEAR, is_date, is_people, is_person, is_place, tidy
from training.synthetic_tags import Token, spell


class SubjectQuestions(Asking):
    """The rules that take the subject away, or what is said of it."""

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
        if stopped in BROKEN or not tail or (self.main in ("say", "be") and not clause.copula):
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
        if not noun or YEAR.fullmatch(inside[at].text):
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
