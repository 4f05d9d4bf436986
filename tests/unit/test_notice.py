"""NOTICE names the licence of everything that running the mesh installs."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTICE = (ROOT / "NOTICE").read_text(encoding="utf-8")


def _pins(lock: str) -> set[str]:
    return set(re.findall(r"^([A-Za-z0-9._-]+)==", (ROOT / "requirements" / lock).read_text(encoding="utf-8"), flags=re.MULTILINE))


_PINS = _pins("run.txt")
_WEAVIATE = _pins("weaviate.txt") - _PINS
_POSTGRES = _pins("postgres.txt") - _PINS
_BESIDE = _WEAVIATE | _POSTGRES
_PERMISSIVE = re.compile(r"\b(MIT|MIT-0|BSD|Apache|ISC|PSF|Python Software Foundation|ZPL|CNRI)\b", re.IGNORECASE)
_WEAK = re.compile(r"\b(MPL|Mozilla|LGPL)\b|Lesser General")


def _section(title: str) -> str:
    _, _, rest = NOTICE.partition(title)
    return rest.partition("\n\n\n")[0]


def _licence(name: str) -> str:
    found = metadata.metadata(name)
    classifiers = [text for text in found.get_all("Classifier") or [] if text.startswith("License ::")]
    return found.get("License-Expression") or "; ".join(classifiers) or (found.get("License") or "")[:200]


@pytest.mark.parametrize(
    ("title", "installed"),
    [
        ("Installed beside it, from requirements/run.txt", _PINS),
        ("Installed for an index on Weaviate, from requirements/weaviate.txt", _WEAVIATE),
        ("Installed for documents in PostgreSQL, from requirements/postgres.txt", _POSTGRES),
    ],
)
def test_every_package_is_named_and_no_other(title: str, installed: set[str]) -> None:
    lines = _section(title).splitlines()
    listed = {name.strip() for line in lines if line.startswith("  ") for name in line.split(",") if name.strip()}
    assert listed == installed


def test_what_is_not_permissive_is_named_as_such() -> None:
    weak = [name for name in _PINS | _BESIDE if _WEAK.search(_licence(name)) or not _PERMISSIVE.search(_licence(name))]
    section = _section("Not plainly permissive")
    assert [name for name in weak if not re.search(rf"\b{re.escape(name)}\b", section)] == []


def test_nothing_is_under_a_strong_copyleft_alone() -> None:
    strong = [name for name in _PINS | _BESIDE if re.search(r"\bA?GPL", licence := _licence(name)) and not _WEAK.search(licence)]
    assert strong == []
