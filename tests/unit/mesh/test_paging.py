"""Page tokens: bound to the listing and the principal, worth nothing elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from ragmesh.identity.v1.principal_pb2 import Principal

from services.mesh.errors import MeshError
from services.mesh.paging import Pager, load_key, page_size

ADA = Principal(tenant="t", subject="users/ada")
BEN = Principal(tenant="t", subject="users/ben")


@pytest.fixture
def pager() -> Pager:
    """With a key of its own."""
    return Pager(b"k" * 32)


def test_a_token_goes_round(pager: Pager) -> None:
    token = pager.token("turns of c", ADA, [7, "ä"])
    assert pager.position("turns of c", ADA, token) == [7, "ä"]
    assert pager.position("turns of c", ADA, "") is None


@pytest.mark.parametrize("place", range(4))
def test_a_token_of_something_else_is_refused(pager: Pager, place: int) -> None:
    token = pager.token("turns of c", ADA, [7])
    listing, principal, read, shown = [
        ("turns of d", ADA, pager, token),
        ("turns of c", BEN, pager, token),
        ("turns of c", ADA, Pager(b"x" * 32), token),
        ("turns of c", ADA, pager, token[:-2] + ("AA" if token[-2:] != "AA" else "BB")),
    ][place]
    with pytest.raises(MeshError) as caught:
        read.position(listing, principal, shown)
    assert caught.value.reason == "PAGE_TOKEN_INVALID"


@pytest.mark.parametrize("token", ["x", "!!!!", "ä", "a" * 1024, "="])
def test_what_is_no_token_is_refused(pager: Pager, token: str) -> None:
    with pytest.raises(MeshError) as caught:
        pager.position("turns of c", ADA, token)
    assert caught.value.reason == "PAGE_TOKEN_INVALID"


def test_the_parts_that_are_bound_cannot_be_shifted(pager: Pager) -> None:
    token = pager.token("ab", Principal(tenant="c", subject="d"), [1])
    with pytest.raises(MeshError):
        pager.position("a", Principal(tenant="bc", subject="d"), token)


def test_a_key_is_made_once_and_nobody_else_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "pages.key"
    key = load_key(path)
    assert len(key) == 32
    assert load_key(path) == key
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("wanted", "size"), [(0, 50), (10, 10), (200, 200), (10**6, 200)])
def test_a_page_has_bounds(wanted: int, size: int) -> None:
    assert page_size(wanted, default=50, most=200) == size
