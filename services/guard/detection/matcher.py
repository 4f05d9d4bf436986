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
from pathlib import Path

import hyperscan

from services.guard.detection.compiled import database
from services.guard.detection.rules import LoadedRule, Target

MAX_PLACES = 8
"""Places of one pattern that are told: a text with more of them is no better known by counting on."""


@dataclass(frozen=True, slots=True)
class Match:
    """A rule and where it matched: half-open, in characters of the scanned text."""

    rule: LoadedRule
    start: int
    end: int


class Matcher:
    """The rules, compiled.

    Args:
        rules: the rules.
        cache: folder where the compiled rules are kept; None keeps none.

    Raises:
        RuleError: Hyperscan cannot compile a pattern.
    """

    def __init__(self, rules: Sequence[LoadedRule], cache: Path | None = None) -> None:
        self.rules = tuple(rules)
        self._expressions = [(rule, expression.exact) for rule in self.rules for expression in rule.expressions]
        self._database = database(self.rules, cache)
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
