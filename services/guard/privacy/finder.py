"""Finds personal data and secrets: cheap triggers first, so that ordinary prose costs one look."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ragmesh.guard.v1.pii_pb2 import PiiKind

from services.guard.privacy import contact, numbers, secrets
from services.guard.privacy.context import Context
from services.guard.privacy.match import PiiMatch, kept

MAX_CHARACTERS = 65_536
"""What is behind is not looked at."""
MAX_RUNS = 512
"""Runs of digits that are looked at in one text; a table of figures holds more, and no more numbers of persons."""
LEAST_SCORE = 0.5

# Six digits with at most three signs between: no number of a person and no telephone has fewer.
_RUN = re.compile(r"\d(?:[ \u00a0().\-–/]{0,3}\d){5,60}")
# A digit beside a capital letter, or a letter at a digit. It begins with the digit: classes are what `re` is quick to search for.
_LETTERED = re.compile(r"\d(?:[A-Za-z<]|[ \-][A-Z]\b|(?:(?<=[A-Za-z]\d)|(?<=[A-Z][ \-]\d))\d)")
_LEAST_DIGITS = 6


class PiiFinder:
    """Finds them. Holds compiled patterns and words only; one serves all threads."""

    def __init__(self) -> None:
        self._context = Context()

    def find(self, text: str, language: str = "und") -> list[PiiMatch]:
        """What stands in `text`, in order, without overlaps.

        Args:
            language: BCP-47 primary tag of the text; numbers of a country count without a word beside them only in its languages.
        """
        text = text[:MAX_CHARACTERS]
        return kept(match for match in self._found(text, language) if match.score >= LEAST_SCORE)

    def _found(self, text: str, language: str) -> Iterator[PiiMatch]:
        yield from contact.emails(text)
        yield from secrets.secrets(text)
        digits = sum(map(text.count, "0123456789"))
        if digits:
            yield from contact.addresses(text, self._context)
        if digits < _LEAST_DIGITS:
            return
        for place, match in enumerate(_RUN.finditer(text)):
            if place == MAX_RUNS:
                break
            # The signs around a run say whether it is one: `+`, `(`, a letter.
            start, end = max(0, match.start() - 2), min(len(text), match.end() + 8)
            yield from numbers.judged(numbers.RUNS, text, start, end, language, self._context)
            yield from contact.phones(text, start, end, language, self._context)
        if _LETTERED.search(text):
            yield from numbers.judged(numbers.LETTERED, text, 0, len(text), language, self._context)


_JOINED = frozenset({PiiKind.PII_KIND_CARD, PiiKind.PII_KIND_IBAN, PiiKind.PII_KIND_NATIONAL_ID})
_TAIL = re.compile(r"[A-Z0-9][A-Z0-9 .\-/]{3,40}\s*\Z")
_HEAD = re.compile(r"\A\s*[A-Z0-9][A-Z0-9 .\-/]{1,40}")


def find_in_turns(finder: PiiFinder, turns: Sequence[str], language: str = "und") -> list[list[PiiMatch]]:
    """What stands in the turns of a conversation, one list a turn; a number that is told in two turns is found in both.

    Args:
        turns: what one side said, oldest first.
    """
    found = [finder.find(turn, language) for turn in turns]
    for place in range(1, len(turns)):
        before, after = turns[place - 1], turns[place]
        tail, head = _TAIL.search(before[-64:]), _HEAD.search(after)
        if tail is None or head is None:
            continue
        first, second = tail[0].rstrip(), head[0].strip()
        # The words before the number say what it is; they come along.
        lead = before[: len(before) - len(tail[0])] if len(before) <= MAX_CHARACTERS else ""
        border = len(lead) + len(first)
        for match in finder.find(f"{lead}{first} {second}", language):
            if match.kind in _JOINED and match.start < border < match.end - 1:
                shift = after.index(second) - border - 1
                found[place - 1] = kept([*found[place - 1], PiiMatch(match.kind, match.start, border, match.score, match.detector)])
                head_match = PiiMatch(match.kind, border + 1 + shift, match.end + shift, match.score, match.detector)
                found[place] = kept([*found[place], head_match])
    return found
