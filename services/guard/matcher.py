"""Rules at speed: compiled once by Hyperscan, one scratch a thread.

Hyperscan tells in microseconds which patterns may match; only those are looked for again in their exact form, which also tells
where. What a match means is judged elsewhere. Of the library: block mode keeps no state between calls, a scratch serves one scan
at a time, and the callback must outlive the scan.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import hyperscan

from services.guard.rules import LoadedRule, RuleError, Target, needs_code_points

MAX_PLACES = 8
"""Places of one pattern that are told: a text with more of them is no better known by counting on."""

# SINGLEMATCH: that it matches is enough, where it does the exact form tells.
_FLAGS = hyperscan.HS_FLAG_CASELESS | hyperscan.HS_FLAG_DOTALL | hyperscan.HS_FLAG_SINGLEMATCH


@dataclass(frozen=True, slots=True)
class Match:
    """A rule and where it matched: half-open, in characters of the scanned text."""

    rule: LoadedRule
    start: int
    end: int


class Matcher:
    """The rules, compiled.

    Raises:
        RuleError: Hyperscan cannot compile a pattern.
    """

    def __init__(self, rules: Sequence[LoadedRule]) -> None:
        self.rules = tuple(rules)
        self._expressions = [(rule, expression.exact) for rule in self.rules for expression in rule.expressions]
        self._database = _compile(self.rules)
        self._local = threading.local()

    def scan(self, text: str, target: Target) -> list[Match]:
        """Where which rule for `target` matches `text`, in the order of rules; at most `MAX_PLACES` places a pattern."""
        proposed: set[int] = set()

        def on_match(expression: int, _start: int, _end: int, _flags: int, _context: object) -> None:
            proposed.add(expression)

        self._database.scan(text.encode("utf-8", "replace"), match_event_handler=on_match, scratch=self._scratch())
        found = []
        for number in sorted(proposed):
            if target in self._expressions[number][0].targets:
                found += self._confirm(number, text)
        return found

    def _confirm(self, number: int, text: str) -> list[Match]:
        rule, exact = self._expressions[number]
        found = []
        for place in itertools.islice(exact.finditer(text), MAX_PLACES):
            start, end = place.span()
            found.append(Match(rule, start, end))
        return found

    def _scratch(self) -> hyperscan.Scratch:
        scratch = getattr(self._local, "scratch", None)
        if scratch is None:
            scratch = self._local.scratch = hyperscan.Scratch(self._database)
        return scratch


def _flags(wide: str) -> int:
    """Bytes are enough for most patterns, and compile fifty times faster than code points."""
    return _FLAGS | hyperscan.HS_FLAG_UTF8 if needs_code_points(wide) else _FLAGS


def _compile(rules: Sequence[LoadedRule]) -> hyperscan.Database:
    expressions = [expression.wide for rule in rules for expression in rule.expressions]
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    try:
        database.compile(
            expressions=[expression.encode() for expression in expressions],
            ids=list(range(len(expressions))),
            elements=len(expressions),
            flags=[_flags(expression) for expression in expressions],
        )
    except hyperscan.error as error:
        raise RuleError(f"{_culprit(rules) or 'the rules together'}: Hyperscan: {error}") from None
    return database


def _culprit(rules: Sequence[LoadedRule]) -> str | None:
    """Where the first rule stands that does not compile alone."""
    for rule in rules:
        for wide in (expression.wide for expression in rule.expressions):
            try:
                hyperscan.Database().compile(expressions=[wide.encode()], ids=[0], elements=1, flags=[_flags(wide)])
            except hyperscan.error:
                return rule.where
    return None
