"""Personal data and secrets are found where form, check digits and words say so, and nowhere else."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ragmesh.guard.v1.pii_pb2 import PiiKind

from services.guard.privacy import MAX_CHARACTERS, PiiFinder, find_in_turns
from tests.data.guard.privacy.make_rows import secret_rows

ROWS = Path(__file__).resolve().parents[2] / "data" / "guard" / "privacy" / "rows.jsonl"
CHECKSUMMED = ("CARD", "IBAN", "NATIONAL_ID")


@cache
def finder() -> PiiFinder:
    return PiiFinder()


def found(text: str, language: str = "und") -> list[tuple[str, str]]:
    return [(PiiKind.Name(m.kind).removeprefix("PII_KIND_"), text[m.start : m.end]) for m in finder().find(text, language)]


@cache
def rows() -> list[dict[str, Any]]:
    return [*map(json.loads, ROWS.read_text(encoding="utf-8").splitlines()), *secret_rows()]


@pytest.mark.parametrize("kind", sorted({span["kind"] for row in rows() for span in row["spans"]}))
def test_the_rows_of_a_kind_are_found_and_nothing_else_is_taken_for_it(kind: str) -> None:
    counts: Counter[str] = Counter()
    for row in rows():
        wanted = {row["text"][span["start"] : span["end"]] for span in row["spans"] if span["kind"] == kind}
        seen = {value for name, value in found(row["text"], row["lang"]) if name == kind}
        counts.update(right=len(wanted & seen), wanted=len(wanted), seen=len(seen))
    least = 0.98 if kind in CHECKSUMMED else 0.85
    assert counts["wanted"] >= 20
    assert counts["right"] >= 0.95 * counts["wanted"]
    assert counts["right"] >= least * counts["seen"]


def test_what_only_looks_like_personal_data_is_left_alone() -> None:
    lookalikes = [row for row in rows() if row["about"] in ("look-alike", "spoiled")]
    taken = [(row["text"], hits) for row in lookalikes if (hits := found(row["text"], row["lang"]))]
    assert len(lookalikes) >= 300
    assert len(taken) <= 0.01 * len(lookalikes), taken


# Specimens that the authorities print, and numbers out of their own descriptions of the check.
@pytest.mark.parametrize(
    ("text", "language", "kind"),
    [
        ("GB82 WEST 1234 5698 7654 32", "und", "IBAN"),
        ("DE89370400440532013000", "und", "IBAN"),
        ("4111 1111 1111 1111", "und", "CARD"),
        ("378282246310005", "und", "CARD"),
        ("86095742719", "de", "NATIONAL_ID"),
        ("756.9217.0769.85", "und", "NATIONAL_ID"),
        ("2 55 08 14 168 025 38", "und", "NATIONAL_ID"),
        ("12345678Z", "es", "NATIONAL_ID"),
        ("X1234567L", "es", "NATIONAL_ID"),
        ("RSSMRA85T10A562S", "und", "NATIONAL_ID"),
        ("44051401359", "pl", "NATIONAL_ID"),
        ("710319/2745", "und", "NATIONAL_ID"),
        ("10000000146", "tr", "NATIONAL_ID"),
        ("112-233-445 95", "und", "NATIONAL_ID"),
        ("500100732259", "ru", "NATIONAL_ID"),
        ("390.533.447-05", "und", "NATIONAL_ID"),
        ("L898902C36UTO7408122F1204159ZE184226B<<<<<10", "und", "NATIONAL_ID"),
        ("name [at] example.org", "und", "EMAIL"),
        ("günther@müller-straße.de", "und", "EMAIL"),
        ("2001:db8:85a3::8a2e:370:7334", "und", "IP_ADDRESS"),
        ("+49 30 901820", "und", "PHONE"),
        ("(212) 555-0123", "und", "PHONE"),
    ],
)
def test_what_needs_no_word(text: str, language: str, kind: str) -> None:
    for sentence in (text, f"A {text}, B.", f"«{text}»\n"):
        assert found(sentence, language) == [(kind, text)]


@pytest.mark.parametrize(
    ("word", "number"),
    [
        ("Meine Steuer-ID:", "86095742719"),
        ("NHS number", "943 476 5919"),
        ("BSN", "111222333"),
        ("o meu NIF é", "123456789"),
        ("Personalausweis", "T220001293"),
        ("rodné číslo", "7103192745"),
        ("SSN", "536 22 6145"),
    ],
)
def test_what_one_number_in_ten_would_pass_needs_its_word(word: str, number: str) -> None:
    assert found(f"{word} {number}", "en") == [("NATIONAL_ID", number)]
    assert found(f"I counted {number} of them", "en") == []


@pytest.mark.parametrize(
    "text",
    [
        "GB82 WEST 1234 5698 7654 33",
        "4111 1111 1111 1112",
        "order 4111 1111 1111 1111",
        "000-12-3456 and 666-12-3456 and 912-34-5678",
        "version 10.0.19.45",
        "released 2024-11-21 10:11:12, again 21.11.2024",
        "1990-1999, 2001/2002, Zhu Shijie (1249–1314)",
        "in comparison with 734 000 000 miles",
        "$1,234,567.89 or 1 234 567 EUR or 12.345.678",
        "CAS 13956-29-1",
        "127.0.0.1, 0.0.0.0, ::1, 255.255.255.0",
        "The password is required, the token is case-sensitive.",
        "git@github.com:team/repo.git",
        "user@localhost, a@b, @name",
        "std::vector, a::b, 10:11:12:13",
    ],
)
def test_what_is_something_else(text: str) -> None:
    assert found(text, "en") == []


def test_a_word_nearer_to_the_number_counts_more() -> None:
    assert found("Phone me about order 5551234567890", "en") == []
    assert found("About the order: call 555 123 4567", "en") == [("PHONE", "555 123 4567")]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7bq+/x\n-----END RSA PRIVATE KEY-----", "PRIVATE_KEY"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA", "PRIVATE_KEY"),
    ],
)
def test_a_private_key_is_found_whole_or_cut(text: str, kind: str) -> None:
    assert found(f"see {text}") == [(kind, text)]


def test_a_number_that_is_told_in_two_turns_is_found_in_both() -> None:
    turns = ["My card is 4111 1111", "1111 1111, and thank you", "bye"]
    told = find_in_turns(finder(), turns, "en")
    assert [[turn[m.start : m.end] for m in matches] for turn, matches in zip(turns, told, strict=True)] == [
        ["4111 1111"],
        ["1111 1111"],
        [],
    ]
    assert find_in_turns(finder(), ["I counted 4111 1111", "1111 1112 more"], "en") == [[], []]


def test_ranges_are_of_the_text_and_apart() -> None:
    text = "😀 a@example.org, +49 30 901820, DE89370400440532013000 4111-1111-1111-1111"
    matches = finder().find(text, "de")
    assert [text[m.start : m.end] for m in matches] == [
        "a@example.org",
        "+49 30 901820",
        "DE89370400440532013000",
        "4111-1111-1111-1111",
    ]
    assert all(0.5 <= match.score <= 1 for match in matches)


def test_a_long_text_is_read_to_its_limit() -> None:
    address = "a@example.org"
    assert found("x " * (MAX_CHARACTERS // 2 - 20) + address) == [("EMAIL", address)]
    assert found("x " * (MAX_CHARACTERS // 2) + address) == []


@pytest.mark.parametrize(
    "text",
    [
        "!" * 20_000 + "@",
        "1 " * 20_000,
        "a@" * 20_000,
        "(" * 20_000,
        "12:" * 20_000,
        "key=" * 10_000,
        "-----BEGIN " * 5_000,
        "[at" * 20_000,
    ],
)
def test_hostile_text_is_read(text: str) -> None:
    assert len(finder().find(text, "en")) <= 1
