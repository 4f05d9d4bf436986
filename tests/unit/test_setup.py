"""Setting up on a machine that lacks something: one line that says what to install, before anything is made."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What `make setup` reads, in a folder whose name has a space."""
    folder = tmp_path / "my clone"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", "tools.toml"):
        shutil.copy2(ROOT / name, folder)
    shutil.copytree(ROOT / "requirements", folder / "requirements")
    return folder


def _program(folder: Path, name: str, body: str) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def _find(**environment: str) -> subprocess.CompletedProcess[str]:
    found = [str(ROOT / "requirements" / "find-python")]
    return subprocess.run(found, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False)


def test_a_python_that_fits_is_printed() -> None:
    ran = _find(PYTHON=sys.executable)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert Path(ran.stdout.strip()).is_file()


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("exit 2", "Python 3.11 or 3.12"),
        ("exit 127", "Python 3.11 or 3.12"),
        ("echo python3.11-venv", "apt-get install python3.11-venv"),
        ("echo python3.12-venv libpython3.12", "apt-get install python3.12-venv libpython3.12"),
    ],
    ids=["too old", "not there any more", "without venv", "without venv and library"],
)
def test_what_is_missing_is_one_line(tmp_path: Path, body: str, wanted: str) -> None:
    ran = _find(PYTHON=_program(tmp_path, "python", body))
    assert ran.returncode == 1
    assert ran.stdout == ""
    assert len(ran.stderr.splitlines()) == 1
    assert wanted in ran.stderr


def test_a_machine_without_wheels_is_named(tmp_path: Path) -> None:
    _program(tmp_path, "uname", "echo Darwin")
    ran = _find(PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert ran.returncode == 1
    assert ran.stderr.startswith("ragmesh runs on Linux on x86_64")
    assert len(ran.stderr.splitlines()) == 1


def test_make_says_one_line_and_makes_nothing(clone: Path) -> None:
    before = sorted(clone.rglob("*"))
    python = _program(clone.parent, "python", "echo libpython3.11")
    # As from a terminal: not as a part of the `make test` that this test may run in.
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    ran = subprocess.run(
        ["make", "run", f"PYTHON={python}"],  # noqa: S607 - make is what a newcomer has
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 2
    lines = (ran.stdout + ran.stderr).splitlines()
    assert len(lines) == 1, lines
    assert "apt-get install libpython3.11" in lines[0]
    assert sorted(clone.rglob("*")) == before
