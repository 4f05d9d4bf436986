"""What stands in the place of personal data, by policy."""

from __future__ import annotations

import pytest
from ragmesh.guard.v1.pii_pb2 import PiiAction, PiiKind

from services.guard.privacy import PiiFinder, PiiMatch, apply

ALLOW, MASK, REDACT = PiiAction.PII_ACTION_ALLOW, PiiAction.PII_ACTION_MASK, PiiAction.PII_ACTION_REDACT
ALL = PiiKind.PII_KIND_UNSPECIFIED


def match(kind: PiiKind.ValueType, start: int, end: int) -> PiiMatch:
    return PiiMatch(kind, start, end, 0.9, "test")


@pytest.mark.parametrize(
    ("kind", "value", "masked"),
    [
        ("EMAIL", "anna.s@example.org", "a***@example.org"),
        ("EMAIL", "name [at] example.org", "***"),
        ("PHONE", "+49 30 901820", "+** ** ****20"),
        ("CARD", "4111-1111-1111-1111", "****-****-****-1111"),
        ("IBAN", "DE89 3704 0044 0532 0130 00", "DE** **** **** **** **30 00"),
        ("NATIONAL_ID", "710319/2745", "******/**45"),
        ("IP_ADDRESS", "86.121.97.248", "86.121.*.*"),
        ("IP_ADDRESS", "2001:db8::1", "2001:db8:*:*"),
        ("API_KEY", "AKIAIOSFODNN7ABCDEFG", "AKIA***"),
        ("ACCESS_TOKEN", "short", "***"),
        ("PASSWORD", "hunter2!", "***"),
        ("PRIVATE_KEY", "-----BEGIN", "[PRIVATE_KEY]"),
    ],
)
def test_a_mask_shows_as_much_as_its_owner_needs_to_know_it_by(kind: str, value: str, masked: str) -> None:
    number = PiiKind.Value(f"PII_KIND_{kind}")
    done = apply(f"is {value}.", [match(number, 3, 3 + len(value))], {number: MASK})
    assert done.text == f"is {masked}."
    assert done.text[done.ranges[0].start : done.ranges[0].end] == masked


def test_each_kind_has_its_own_action() -> None:
    text = "Write to a@example.org or call +49 30 901820 from 86.121.97.248"
    matches = PiiFinder().find(text, "en")
    done = apply(text, matches, {PiiKind.PII_KIND_EMAIL: REDACT, PiiKind.PII_KIND_IP_ADDRESS: MASK, ALL: ALLOW})
    assert done.text == "Write to [EMAIL] or call +49 30 901820 from 86.121.*.*"
    assert [part.action for part in done.ranges] == [REDACT, ALLOW, MASK]
    assert [done.text[part.start : part.end] for part in done.ranges] == ["[EMAIL]", "+49 30 901820", "86.121.*.*"]


def test_what_no_policy_names_stays() -> None:
    assert apply("a@example.org", [match(PiiKind.PII_KIND_EMAIL, 0, 13)], {}).text == "a@example.org"
    assert apply("a@example.org", [match(PiiKind.PII_KIND_EMAIL, 0, 13)], {ALL: REDACT}).text == "[EMAIL]"


@pytest.mark.parametrize("spans", [[(0, 5), (4, 8)], [(0, 99)], [(3, 3)]])
def test_matches_of_another_text_are_refused(spans: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="overlaps"):
        apply("0123456789", [match(PiiKind.PII_KIND_PHONE, *span) for span in spans], {})


def test_what_was_redacted_is_not_found_again() -> None:
    text = "My card 4111 1111 1111 1111, mail a@example.org, password: hunter2!"
    finder = PiiFinder()
    done = apply(text, finder.find(text, "en"), {ALL: REDACT})
    assert done.text == "My card [CARD], mail [EMAIL], password: [PASSWORD]"
    assert finder.find(done.text, "en") == []
