"""What stands in the place of personal data: its kind, a part of it, or all of it, as a policy says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ragmesh.guard.v1.pii_pb2 import PiiAction, PiiKind

from services.guard.privacy.match import PiiMatch

_KEPT_AT_END = {PiiKind.PII_KIND_CARD: 4, PiiKind.PII_KIND_IBAN: 4, PiiKind.PII_KIND_PHONE: 2, PiiKind.PII_KIND_NATIONAL_ID: 2}
_KEPT_AT_START = {PiiKind.PII_KIND_IBAN: 2, PiiKind.PII_KIND_API_KEY: 4, PiiKind.PII_KIND_ACCESS_TOKEN: 4}
_HIDDEN = "***"
_SHORT = 12
"""Of a shorter key no beginning is shown."""


@dataclass(frozen=True, slots=True)
class Replaced:
    """One match, and what became of it."""

    match: PiiMatch
    action: PiiAction.ValueType
    start: int
    """In code points of the new text."""
    end: int


@dataclass(frozen=True, slots=True)
class Redacted:
    """A text after its policy."""

    text: str
    ranges: list[Replaced]
    """Every match in order, those that were allowed too."""


def apply(text: str, matches: Iterable[PiiMatch], policy: Mapping[PiiKind.ValueType, PiiAction.ValueType]) -> Redacted:
    """`text` with every match replaced as `policy` says of its kind.

    Args:
        matches: of `text`, without overlaps.
        policy: PII_KIND_UNSPECIFIED stands for every kind that is not named; without it they are allowed.

    Raises:
        ValueError: two matches overlap, or one lies outside of the text.
    """
    parts: list[str] = []
    ranges: list[Replaced] = []
    reached, length = 0, 0
    for match in sorted(matches, key=lambda item: item.start):
        if not reached <= match.start < match.end <= len(text):
            raise ValueError(f"{match.detector} at {match.start}..{match.end} overlaps another or lies outside of the text")
        action = policy.get(match.kind, policy.get(PiiKind.PII_KIND_UNSPECIFIED, PiiAction.PII_ACTION_ALLOW))
        value = _instead(text[match.start : match.end], match.kind, action)
        parts += [text[reached : match.start], value]
        start = length + match.start - reached
        ranges.append(Replaced(match, action, start, start + len(value)))
        reached, length = match.end, start + len(value)
    return Redacted("".join([*parts, text[reached:]]), ranges)


def starred(text: str, matches: Iterable[PiiMatch]) -> str:
    """`text` with a star for each byte of a letter or a digit of every match, so that no range in bytes moves."""
    parts: list[str] = []
    reached = 0
    for match in sorted(matches, key=lambda item: item.start):
        parts += [text[reached : match.start], "".join(map(_star, text[max(reached, match.start) : match.end]))]
        reached = max(reached, match.end)
    return "".join([*parts, text[reached:]])


def _star(character: str) -> str:
    return "*" * len(character.encode("utf-8", "replace")) if character.isalnum() else character


def _instead(value: str, kind: PiiKind.ValueType, action: PiiAction.ValueType) -> str:
    if action == PiiAction.PII_ACTION_REDACT:
        return f"[{PiiKind.Name(kind).removeprefix('PII_KIND_')}]"
    if action != PiiAction.PII_ACTION_MASK:
        return value
    if kind == PiiKind.PII_KIND_PRIVATE_KEY:
        return "[PRIVATE_KEY]"
    if kind == PiiKind.PII_KIND_PASSWORD:
        return _HIDDEN
    if kind == PiiKind.PII_KIND_EMAIL:
        local, at, domain = value.rpartition("@")
        return f"{local[:1]}{_HIDDEN}{at}{domain}" if at else _HIDDEN
    if kind == PiiKind.PII_KIND_IP_ADDRESS:
        sign = ":" if ":" in value else "."
        groups = value.split(sign)
        return sign.join([*groups[:2], *("*" * len(groups[2:]))])
    if kind in (PiiKind.PII_KIND_API_KEY, PiiKind.PII_KIND_ACCESS_TOKEN):
        return (value[: _KEPT_AT_START[kind]] if len(value) >= _SHORT else "") + _HIDDEN
    return _starred(value, _KEPT_AT_START.get(kind, 0), _KEPT_AT_END.get(kind, 0))


def _starred(value: str, first: int, last: int) -> str:
    """Letters and digits as `*` but for the first and the last; what groups them stays."""
    signs = [place for place, character in enumerate(value) if character.isalnum()]
    shown = {*signs[:first], *(signs[-last:] if last else ())}
    return "".join(c if not c.isalnum() or place in shown else "*" for place, c in enumerate(value))
