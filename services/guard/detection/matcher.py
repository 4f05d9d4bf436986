"""Rules at speed: one scan tells which expressions may match, and only those are looked for.

Patterns are confirmed in their exact form; parts are looked for near each other. What a match means is judged elsewhere.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from services.guard.detection.allowed import Allowed
from services.guard.detection.engines import EngineError, MakeEngine, engine
from services.guard.detection.expressions import Atom, Expression
from services.guard.detection.flood import FLOOD, LENGTH, too_many
from services.guard.detection.rules import LoadedRule, RuleError, Target

MAX_PLACES = 8
"""Places of one pattern that are told: a text with more of them is no better known by counting on."""
MAX_MATCHES = 48
"""Matches that are told of one text; what has more of them is no less an attack for the rest."""
MAX_PART_PLACES = 1_000
"""Places of one list of words that are looked at; more do not fit into a question."""
ACROSS_SENTENCES = 0.6
"""What is left of a score where the end of a sentence parts the words."""

_SENTENCE_END = re.compile(rb"[.!?][\"')]*\s")
# Above a paragraph or an item of a list; a line that was wrapped is longer.
_HEADING_END = re.compile(rb"(?m)^[^\n]{0,56}\n|\n[ \t\r]*\n")

_WORD_REST = re.compile(rb"[0-9A-Za-z_\x80-\xff]*")
_AROUND = b" \t\r\n\"'(),.:;!?"

Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Match:
    """A rule and where it matched: half-open, in characters of the scanned text."""

    rule: LoadedRule
    start: int
    end: int
    score: float
    """What the rule adds for what it saw here, if it is meant."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A rule's pattern, or its parts, by the numbers of their expressions."""

    rule: LoadedRule
    needs: frozenset[int]
    """Atoms without which it does not match."""
    words: tuple[int, ...]
    """The pattern alone, or a list of words for each part."""
    near: bool = False
    """Whether they are parts, which must stand near each other."""
    context: tuple[int, ...] = ()
    unless: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class _Behind:
    """What is looked for where an atom is, by its place among what is asked."""

    at_once: list[int] = field(default_factory=list)
    """What needs no other atom."""
    with_more: list[tuple[frozenset[int], int]] = field(default_factory=list)
    """What needs others, with all that it needs."""


@dataclass(frozen=True, slots=True)
class _Spelled:
    """An expression that rules have, once for all of them."""

    expression: Expression
    needs: frozenset[int]
    """Numbers of its atoms."""


class Matcher:
    """The rules, compiled.

    Args:
        rules: the rules.
        cache: folder where the compiled rules are kept; None keeps none.
        allowed: what an operator lets pass.
        make_engine: what compiles the expressions of rules.

    Raises:
        RuleError: a pattern cannot be compiled.
    """

    def __init__(
        self,
        rules: Sequence[LoadedRule],
        cache: Path | None = None,
        allowed: Sequence[Allowed] = (),
        make_engine: MakeEngine = engine,
    ) -> None:
        self.rules = tuple(rules)
        self._allowed = tuple(allowed)
        self._spelled: list[_Spelled] = []
        # By an atom: what is looked for only where it is.
        self._asked: dict[Target, dict[int, _Behind]] = {target: {} for target in Target}
        numbers: dict[str, int] = {}
        atoms: dict[Atom, int] = {}
        where: list[str] = []

        def number(expression: Expression, rule: LoadedRule) -> int:
            if expression.source not in numbers:
                for atom in expression.atoms:
                    if atom not in atoms:
                        atoms[atom] = len(atoms)
                        where.append(rule.where)
                numbers[expression.source] = len(self._spelled)
                self._spelled.append(_Spelled(expression, frozenset(atoms[atom] for atom in expression.atoms)))
            return numbers[expression.source]

        asked: list[_Asked] = []
        for rule in self.rules:
            for expression in rule.expressions:
                pattern = number(expression, rule)
                asked.append(_Asked(rule, self._spelled[pattern].needs, (pattern,)))
            if rule.parts.words:
                words, context, unless = (
                    tuple(number(item, rule) for item in part) for part in (rule.parts.words, rule.parts.context, rule.parts.unless)
                )
                needs = frozenset[int]().union(*(self._spelled[item].needs for item in words))
                asked.append(_Asked(rule, needs, words, True, context, unless))
        self._for_questions = sum(Target.INPUT in rule.targets for rule in self.rules)
        # What adds most is looked for first.
        self._items = sorted(asked, key=lambda item: -item.rule.rule.score)
        rarity = [atom.least for atom in atoms]
        for place, item in enumerate(self._items):
            rarest = max(item.needs, key=rarity.__getitem__)
            for target in item.rule.targets:
                behind = self._asked[target].setdefault(rarest, _Behind())
                if len(item.needs) == 1:
                    behind.at_once.append(place)
                else:
                    behind.with_more.append((item.needs, place))
        try:
            self._engine = make_engine(tuple(atoms), cache)
        except EngineError as error:
            raise RuleError(f"{'the rules together' if error.number is None else where[error.number]}: {error}") from None
        self.digest = hashlib.sha256(
            "\0".join(
                map(repr, (*(rule.rule for rule in self.rules), *self._allowed, too_many(self._for_questions, LENGTH)))
            ).encode()
        ).hexdigest()
        """SHA-256 of the rules, of what is allowed, and of how many rules' words are too many."""

    def proposed(self, data: bytes) -> set[int]:
        """Numbers of the atoms that match `data`, UTF-8."""
        return self._engine.proposed(data)

    def scan(self, text: str, target: Target) -> list[Match]:
        """Where which rule for `target` matches `text`, at most `MAX_PLACES` places a pattern and `MAX_MATCHES` in all."""
        return list(self.matches(text, target))

    def matches(self, text: str, target: Target, known: Container[str] = ()) -> Iterator[Match]:
        """The same, those of the rules that add most first, each looked for when it is asked for.

        Args:
            text: what is looked at.
            target: whose rules count.
            known: ids of rules that need not be looked for.
        """
        data = text.encode("utf-8", "replace")
        proposed = self._engine.proposed(data)
        asked = self._asked[target]
        may: list[int] = []
        for atom in proposed:
            behind = asked.get(atom)
            if behind is not None:
                may += behind.at_once
                may += [place for needs, place in behind.with_more if needs <= proposed]
        if not may:
            return
        if target is Target.INPUT and FLOOD.rule.id not in known and self._floods(may, len(text)):
            # Told before anything is looked for: whom it settles everything for asks no further.
            yield Match(FLOOD, 0, len(text), FLOOD.rule.score)
        items = (self._items[place] for place in sorted(may))
        scan = _Scan(data, self._spelled, proposed, lines=target is Target.DOCUMENT)
        matches = _matches(scan, (item for item in items if item.rule.rule.id not in known))
        counted = (match for match in matches if not any(item.lets_pass(match, data) for item in self._allowed))
        for match in itertools.islice(counted, MAX_MATCHES):
            yield match if len(data) == len(text) else _in_characters(match, data)

    def _floods(self, may: Sequence[int], characters: int) -> bool:
        """Whether what may match is of too many rules; a rule has several patterns."""
        most = too_many(self._for_questions, characters)
        return len(may) >= most and len({self._items[place].rule.rule.id for place in may}) >= most


def _matches(scan: _Scan, may: Iterable[_Asked]) -> Iterator[Match]:
    for item in may:
        rule = item.rule
        if item.near:
            yield from scan.near(item)
        else:
            for start, end in scan.places(item.words[0])[:MAX_PLACES]:
                yield Match(rule, start, end, rule.rule.score)


def _in_characters(match: Match, data: bytes) -> Match:
    start = len(data[: match.start].decode("utf-8", "ignore"))
    end = start + len(data[match.start : match.end].decode("utf-8", "ignore"))
    return Match(match.rule, start, end, match.score)


class _Scan:
    """One text, and where in it the proposed expressions match; each is looked for once.

    Args:
        lines: a heading and what stands below it are no clause, so that parts must stand on one side of its end.
    """

    def __init__(self, data: bytes, spelled: Sequence[_Spelled], proposed: set[int], *, lines: bool = False) -> None:
        self._data = data
        self._lines = lines
        self._spelled = spelled
        self._proposed = proposed
        self._places: dict[int, list[Place]] = {}
        # Windows are in characters: a letter of another script has two bytes.
        self._stretch = 1 if data.isascii() else max(1.0, len(data) / len(data.decode("utf-8", "ignore")))

    def places(self, number: int) -> list[Place]:
        """Where an expression matches, half-open, in bytes."""
        known = self._places.get(number)
        if known is None:
            spelled = self._spelled[number]
            known = []
            if spelled.needs <= self._proposed:
                found = spelled.expression.exact.finditer(self._data)
                known = [match.span() for match in itertools.islice(found, MAX_PART_PLACES)]
                if self._stretch > 1:
                    known = [self._bare(*place) for place in known]
            self._places[number] = known
        return known

    def _bare(self, start: int, end: int) -> Place:
        """A place without the white space and signs that a word of another script is matched with."""
        found = self._data[start:end]
        return start + len(found) - len(found.lstrip(_AROUND)), end - len(found) + len(found.rstrip(_AROUND))

    def near(self, parts: _Asked) -> Iterator[Match]:
        """Where all parts stand near each other, with context or without; at most `MAX_PLACES` places."""
        rule = parts.rule.rule
        within = int(rule.within * self._stretch)
        lists: list[list[Place]] = []
        for number in parts.words:
            lists.append(self.places(number))
            if not lists[-1]:
                return
        spans = (span for span in _near(lists, within, ordered=rule.ordered) if not (self._lines and self._parted(*span)))
        found = (Match(parts.rule, start, self._word_end(end), self._score(parts, (start, end), within)) for start, end in spans)
        yield from itertools.islice((match for match in found if match.score > 0), MAX_PLACES)

    def _parted(self, start: int, end: int) -> bool:
        """Whether a heading, or a paragraph, ends inside [start, end)."""
        line = self._data.rfind(b"\n", 0, start) + 1
        return any(found.end() > start for found in _HEADING_END.finditer(self._data, line, end))

    def _word_end(self, end: int) -> int:
        """Where the word ends of which a stem ends here."""
        found = _WORD_REST.match(self._data, end)
        return found.end() if found else end

    def _score(self, parts: _Asked, span: Place, within: int) -> float:
        if parts.unless and self._any(parts.unless, span, within):
            return 0.0
        rule = parts.rule.rule
        score = rule.score if not parts.context or self._any(parts.context, span, within) else rule.alone
        return score * ACROSS_SENTENCES if _SENTENCE_END.search(self._data, *span) else score

    def _any(self, numbers: Sequence[int], span: Place, within: int) -> bool:
        """Whether one of the lists has a word in the window around `span`."""
        room = max(0, within - (span[1] - span[0]))
        start, end = span[0] - room, span[1] + room
        return any(start <= place[0] and place[1] <= end for number in numbers for place in self.places(number))


def _near(lists: Sequence[Sequence[Place]], within: int, *, ordered: bool) -> Iterator[Place]:
    """Ranges of at most `within` bytes that hold a place of each list, none over another; the last seen of each list counts."""
    last: list[Place | None] = [None] * len(lists)
    told = -1
    for place, number in sorted((place, number) for number, places in enumerate(lists) for place in places):
        last[number] = place
        seen = [item for item in last if item is not None]
        if len(seen) < len(lists):
            continue
        in_order = seen if ordered else sorted(seen)
        start, end = min(seen)[0], max(item[1] for item in seen)
        apart = all(before[1] <= after[0] for before, after in itertools.pairwise(in_order))
        if apart and end - start <= within and start >= told:
            told = end
            yield start, end
