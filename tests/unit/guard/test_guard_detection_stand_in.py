"""RE2 stands in while Hyperscan's database is compiled apart; what was compiled is kept for all guards of a user."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.guard.detection import compiled, compiler, stand_in
from services.guard.detection.engines import Engine, EngineError, HyperscanEngine, Re2Engine
from services.guard.detection.expressions import Atom, word_list
from services.guard.settings import GuardSettings

WORDS = ("ignor* | forget", "orders | rules", "забудь | забуд*")
TEXT = "forget the orders"
SECONDS = 60


def expressions(*more: str) -> list[Atom]:
    return [atom for item in (*WORDS, *more) for atom in word_list(item).atoms]


def broken() -> Atom:
    """RE2 knows no look-behind either, so that only Hyperscan may be asked about it: one that repeats too often for it."""
    return Atom("(?:a{30000}){2}", code_points=False)


def engine_at_last(made: Engine) -> Engine:
    assert isinstance(made, stand_in.StandIn)
    return made.wait()


def test_re2_answers_until_hyperscan_is_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[set[int]] = []
    real = compiled.compiled_apart

    def apart(given: list[Atom]) -> bytes:
        asked.append(made[0].proposed(TEXT.encode()))
        return real(given)

    monkeypatch.setattr(compiled, "compiled_apart", apart)
    made: list[Engine] = []
    with stand_in._ONE_AT_A_TIME:  # what compiles waits here until the engine is told to the test
        made.append(stand_in.engine(expressions(), tmp_path / "cache"))
        assert made[0].proposed(TEXT.encode()) == {0, 1}
    assert isinstance(engine_at_last(made[0]), HyperscanEngine)
    assert asked == [{0, 1}]
    assert made[0].proposed(TEXT.encode()) == {0, 1}
    assert isinstance(stand_in.engine(expressions(), tmp_path / "cache"), HyperscanEngine)


def test_what_cannot_be_compiled_is_logged_and_re2_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def apart(_given: list[Atom]) -> bytes:
        raise EngineError("Hyperscan: too large", 1)

    monkeypatch.setattr(compiled, "compiled_apart", apart)
    made = stand_in.engine(expressions(), tmp_path)
    assert isinstance(engine_at_last(made), Re2Engine)
    assert made.proposed(TEXT.encode()) == {0, 1}
    said = capsys.readouterr().out
    assert "rules.not_compiled" in said
    assert "too large" in said
    assert expressions()[1].wide in said


def test_the_process_names_the_expression_that_it_refuses() -> None:
    with pytest.raises(EngineError, match="Hyperscan") as refused:
        compiled.compiled_apart([*expressions(), broken()])
    assert refused.value.number == len(WORDS)


def test_a_process_that_ends_without_an_answer_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "nothing.py").write_text("raise SystemExit(7)")
    monkeypatch.setattr(compiler, "__file__", str(tmp_path / "nothing.py"))
    with pytest.raises(EngineError, match="ended with 7"):
        compiled.compiled_apart(expressions())


@pytest.fixture
def compiling() -> Iterator[subprocess.Popen[bytes]]:
    """The process, waiting for what to compile."""
    command = (sys.executable, "-I", str(Path(compiler.__file__)))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        yield process
        process.kill()


def test_the_process_ends_when_the_guard_does(compiling: subprocess.Popen[bytes]) -> None:
    """In the middle of what would take it minutes: a closed standard input is a guard that is gone."""
    assert compiling.stdin is not None
    long = [f"(?:a|b{number}|\\w+c)*x{number}.*(?:[^a]{{1,{number + 90}}}|y)+z" for number in range(2_000)]
    asked = json.dumps({"expressions": long, "flags": [2] * len(long)}).encode() + b"\n"
    sent = 0
    while sent < len(asked):
        sent += os.write(compiling.stdin.fileno(), asked[sent:])
    compiling.stdin.close()
    assert compiling.wait(SECONDS) in (-signal.SIGIO, 1)


def test_nobody_else_may_have_written_what_is_loaded(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    compiled.database(expressions(), cache)
    assert cache.stat().st_mode & 0o777 == 0o700
    (path,) = cache.iterdir()
    assert compiled.kept(expressions(), cache) is not None
    path.chmod(0o620)
    assert compiled.kept(expressions(), cache) is None
    path.chmod(0o600)
    cache.chmod(0o777)
    assert compiled.kept(expressions(), cache) is None


def test_rule_sets_that_were_used_last_are_kept(tmp_path: Path) -> None:
    for number in range(compiled.MAX_KEPT):
        compiled.database(expressions(f"word{number}"), tmp_path)
        for path in tmp_path.iterdir():  # all grow older
            os.utime(path, ns=(path.stat().st_mtime_ns - 10**9,) * 2)
    # The oldest is used, and then one more is compiled: the second oldest goes.
    assert compiled.kept(expressions("word0"), tmp_path) is not None
    compiled.database(expressions("another"), tmp_path)
    assert len(list(tmp_path.iterdir())) == compiled.MAX_KEPT
    assert compiled.kept(expressions("word0"), tmp_path) is not None
    assert compiled.kept(expressions("word1"), tmp_path) is None
    assert compiled.kept(expressions("another"), tmp_path) is not None


def test_the_folder_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = GuardSettings(_env_file=None, data_dir=tmp_path)  # type: ignore[call-arg]  # pydantic-settings' own
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert settings.cache_dir == tmp_path / "xdg" / "ragmesh"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert settings.cache_dir == tmp_path / "home" / ".cache" / "ragmesh"
    assert settings.model_copy(update={"guard_cache_dir": tmp_path}).cache_dir == tmp_path
