"""Document ids: stable, valid, and never the same for two paths."""

from __future__ import annotations

import random
import re

import pytest

from services.retriever.sources.naming import MAX_ID_LENGTH, document_id

# As proto/ragmesh/retriever/v1/document_service.proto has it.
VALID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._~-]{0,126}$")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"notes.md", "notes.md"),
        (b"docs/a-b_c.md", "docs~-a-b_c.md"),
        (b"a b.txt", "a~20b.txt"),
        ("ä.md".encode(), "0~~~c3~a4.md"),
        (b".hidden.md", "0~~.hidden.md"),
        (b"a~b.md", "a~7eb.md"),
        (b"\xff.md", "0~~~ff.md"),
    ],
)
def test_an_id_is_the_same_for_good(path: bytes, expected: str) -> None:
    assert document_id(path) == expected


def test_a_long_path_is_cut_and_keeps_its_difference() -> None:
    one, two = (b"x" * 300 + end for end in (b"/a.md", b"/b.md"))
    assert document_id(one) != document_id(two)
    assert len(document_id(one)) == MAX_ID_LENGTH
    assert document_id(one).startswith("xxx")


def test_ids_of_many_strange_paths_are_valid_and_all_different() -> None:
    seed = random.randrange(2**32)
    generator = random.Random(seed)
    pieces = [b"a", b"A", b"/", b"~", b"-", b"~-", b"~~", b"0", b".", b"2f", b" ", "ü".encode(), b"\x80", b"x" * 60, b"_"]
    paths = {b"".join(generator.choices(pieces, k=generator.randint(1, 9))) for _ in range(20_000)}
    ids = {document_id(path) for path in paths}
    assert len(ids) == len(paths), f"seed {seed}"
    assert all(VALID.match(name) for name in ids), f"seed {seed}"


def test_a_hashed_id_cannot_be_a_plain_path() -> None:
    hashed = document_id(b"y" * 200)
    assert document_id(hashed.encode()) != hashed


def test_an_empty_path_has_no_id() -> None:
    with pytest.raises(ValueError, match="path"):
        document_id(b"")
