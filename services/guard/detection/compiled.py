"""Expressions as Hyperscan's database: compiled once in some seconds, then kept in a file that loads in milliseconds.

The folder is shared by all guards of a user. A file is named by what went into it, so that changed rules or another library never
meet an old database, and begins with a checksum of the rest. Knows expressions; not what a match means.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import hyperscan

from services.guard.detection import compiler
from services.guard.detection.engines import EngineError
from services.guard.detection.expressions import Atom
from services.mesh.log import get_logger

MAX_KEPT = 8
"""Databases in the folder; the ones that were used longest ago go first."""

_log = get_logger(__name__)
_CHECKSUM_BYTES = 32
_MAX_BYTES = 256 * 1024 * 1024
_FILES = "guard-rules-*"
# SINGLEMATCH: that it matches is enough, where it does the exact form tells.
_FLAGS = hyperscan.HS_FLAG_CASELESS | hyperscan.HS_FLAG_DOTALL | hyperscan.HS_FLAG_SINGLEMATCH


def _flags(atom: Atom) -> int:
    """Bytes are enough for most patterns, and compile fifty times faster than code points."""
    return _FLAGS | hyperscan.HS_FLAG_UTF8 if atom.code_points else _FLAGS


def scratch(made: hyperscan.Database) -> hyperscan.Scratch:
    """What one scan at a time needs beside `made`."""
    return hyperscan.Scratch(made)


def database(atoms: Sequence[Atom], cache: Path | None) -> hyperscan.Database:
    """A database in which number n is the n-th of `atoms`, compiled here where it is not kept.

    Args:
        atoms: what may match.
        cache: folder where compiled databases are kept; None keeps none.

    Raises:
        EngineError: Hyperscan cannot compile an atom.
    """
    found = kept(atoms, cache)
    if found is None:
        found = _compile(atoms)
        if cache is not None:
            keep(atoms, cache, hyperscan.dumpb(found))
    return found


def kept(atoms: Sequence[Atom], cache: Path | None) -> hyperscan.Database | None:
    """The database of `atoms` that lies in `cache`, if a sound one does."""
    if cache is None:
        return None
    path = _path(atoms, cache)
    try:
        with path.open("rb") as file:
            if not _is_ours(os.fstat(file.fileno())) or not _is_ours(cache.stat()):
                return None
            data = file.read(_MAX_BYTES + 1)
        if hashlib.sha256(data[_CHECKSUM_BYTES:]).digest() != data[:_CHECKSUM_BYTES]:
            return None
        found = hyperscan.loadb(data[_CHECKSUM_BYTES:], hyperscan.HS_MODE_BLOCK)
    except (OSError, hyperscan.error):
        return None
    with contextlib.suppress(OSError):
        os.utime(path)
    return found


def keep(atoms: Sequence[Atom], cache: Path, data: bytes) -> None:
    """Keep the database of `atoms`. A full disk costs the next start, not this one."""
    path = _path(atoms, cache)
    try:
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_whole(path, hashlib.sha256(data).digest() + data)
        used = sorted(cache.glob(_FILES), key=_used, reverse=True)
        for old in used[MAX_KEPT:]:
            old.unlink(missing_ok=True)
    except OSError as error:
        _log.warning("rules.not_kept", error=error.strerror)


def compiled_apart(atoms: Sequence[Atom]) -> bytes:
    """The database of `atoms`, compiled by a process of lowest priority that ends with this one.

    Raises:
        EngineError: Hyperscan cannot compile an atom, or the process ended without a database.
    """
    asked = {"expressions": [item.wide for item in atoms], "flags": [_flags(item) for item in atoms]}
    command = (sys.executable, "-I", str(Path(compiler.__file__)))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            with contextlib.suppress(BrokenPipeError):  # how it ended is told below
                _write(process.stdin.fileno(), json.dumps(asked).encode() + b"\n")
            # Standard input stays open as long as the answer is waited for: the process ends when it is closed.
            with os.fdopen(process.stdout.fileno(), "rb", closefd=False) as answers:
                answer = answers.read(_MAX_BYTES + 1)
            process.wait(compiler.MAX_SECONDS)
        finally:
            process.kill()
    if process.returncode == compiler.REFUSED:
        refusal = json.loads(answer)
        raise EngineError(f"Hyperscan: {refusal['reason']}", refusal["number"])
    if process.returncode != 0:
        raise EngineError(f"Hyperscan: the process that compiles ended with {process.returncode}", None)
    return answer


def loaded(data: bytes) -> hyperscan.Database:
    """The database that `data` holds.

    Raises:
        EngineError: it holds none.
    """
    try:
        return hyperscan.loadb(data, hyperscan.HS_MODE_BLOCK)
    except hyperscan.error as error:
        raise EngineError(f"Hyperscan: {error}", None) from None


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _write_whole(path: Path, data: bytes) -> None:
    """Beside its name first: nobody reads half of it, and of two that write it at once the last one stays."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def _path(atoms: Sequence[Atom], cache: Path) -> Path:
    # What else a database depends on, the processor among it, the library checks itself when it loads one.
    digest = hashlib.sha256(metadata.version("hyperscan").encode())
    for atom in atoms:
        digest.update(f"\0{_flags(atom)}\0{atom.wide}".encode())
    return cache / f"guard-rules-{digest.hexdigest()[:32]}.hsdb"


def _is_ours(found: os.stat_result) -> bool:
    """Whether nobody else may write there: the library trusts what it loads."""
    return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another guard has tidied up
        return 0.0


def _compile(atoms: Sequence[Atom]) -> hyperscan.Database:
    wide, flags = [item.wide for item in atoms], [_flags(item) for item in atoms]
    try:
        return compiler.compile_all(wide, flags)
    except hyperscan.error as error:
        raise EngineError(f"Hyperscan: {error}", compiler.culprit(wide, flags)) from None
