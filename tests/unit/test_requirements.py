"""The lock files say what pyproject.toml asks for, with hashes, and name no registry."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "requirements"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
WANTED = {
    "run.txt": PROJECT["dependencies"],
    "weaviate.txt": PROJECT["dependencies"] + EXTRAS["weaviate"],
    "postgres.txt": PROJECT["dependencies"] + EXTRAS["postgres"],
    "dev.txt": PROJECT["dependencies"] + EXTRAS["weaviate"] + EXTRAS["postgres"] + EXTRAS["dev"],
    "train.txt": PROJECT["dependencies"] + EXTRAS["weaviate"] + EXTRAS["dev"] + EXTRAS["train"],
}
LOCKS = sorted(path.name for path in FOLDER.glob("*.txt"))
_PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^ ;\\]+)", re.MULTILINE)


def _pins(lock: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, version in _PIN.findall((FOLDER / lock).read_text(encoding="utf-8")):
        found.setdefault(canonicalize_name(name), []).append(version)
    return found


@pytest.mark.parametrize("lock", sorted(WANTED))
def test_a_lock_holds_what_is_asked_for(lock: str) -> None:
    pins = _pins(lock)
    missing = [
        text
        for text in WANTED[lock]
        if not any(
            Requirement(text).specifier.contains(version) for version in pins.get(canonicalize_name(Requirement(text).name), [])
        )
    ]
    assert missing == [], "make lock"


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_hashes(lock: str) -> None:
    entries = re.split(r"^(?=[A-Za-z0-9])", (FOLDER / lock).read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    assert entries
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_address(lock: str) -> None:
    text = (FOLDER / lock).read_text(encoding="utf-8")
    assert "://" not in text
    assert "--index-url" not in text.replace("--no-emit-index-url", "")


def test_the_locks_agree() -> None:
    """One version of a package wherever it is used: the others are laid over run.txt in one environment."""
    run = _pins("run.txt")
    for lock in ("weaviate.txt", "postgres.txt", "dev.txt", "train.txt"):
        other = _pins(lock)
        assert {name: other.get(name) for name in run} == run
