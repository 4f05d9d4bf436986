"""Expressions as Hyperscan's database: compiled once in a few seconds, then kept in a file that loads in a millisecond.

The file is named by what went into it, so that changed rules or another library never meet an old database, and begins with a
checksum of the rest. Knows expressions; not what a match means.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import hyperscan

from services.guard.detection.engines import EngineError
from services.guard.detection.expressions import Expression
from services.mesh.log import get_logger

_log = get_logger(__name__)
_CHECKSUM_BYTES = 32
_MAX_FILE_BYTES = 256 * 1024 * 1024
# SINGLEMATCH: that it matches is enough, where it does the exact form tells.
_FLAGS = hyperscan.HS_FLAG_CASELESS | hyperscan.HS_FLAG_DOTALL | hyperscan.HS_FLAG_SINGLEMATCH


def _flags(expression: Expression) -> int:
    """Bytes are enough for most patterns, and compile fifty times faster than code points."""
    return _FLAGS | hyperscan.HS_FLAG_UTF8 if expression.code_points else _FLAGS


def scratch(made: hyperscan.Database) -> hyperscan.Scratch:
    """What one scan at a time needs beside `made`."""
    return hyperscan.Scratch(made)


def database(expressions: Sequence[Expression], cache: Path | None) -> hyperscan.Database:
    """A database in which expression n is the n-th of `expressions`.

    Args:
        expressions: what may match.
        cache: folder where compiled databases are kept; None keeps none.

    Raises:
        EngineError: Hyperscan cannot compile an expression.
    """
    if cache is None:
        return _compile(expressions)
    path = cache / f"guard-rules-{_key(expressions)}.hsdb"
    found = _load(path)
    if found is None:
        found = _compile(expressions)
        _keep(path, found)
    return found


def _key(expressions: Sequence[Expression]) -> str:
    # What else a database depends on, the processor among it, the library checks itself when it loads one.
    digest = hashlib.sha256(metadata.version("hyperscan").encode())
    for expression in expressions:
        digest.update(f"\0{_flags(expression)}\0{expression.wide}".encode())
    return digest.hexdigest()[:32]


def _load(path: Path) -> hyperscan.Database | None:
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            return None
        data = path.read_bytes()
        if hashlib.sha256(data[_CHECKSUM_BYTES:]).digest() != data[:_CHECKSUM_BYTES]:
            return None
        return hyperscan.loadb(data[_CHECKSUM_BYTES:], hyperscan.HS_MODE_BLOCK)
    except (OSError, hyperscan.error):
        return None


def _keep(path: Path, made: hyperscan.Database) -> None:
    """Write `made` beside its name first, so that nobody reads half of it. A full disk costs the next start, not this one."""
    data: bytes = hyperscan.dumpb(made)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.stem, delete=False) as file:
            file.write(hashlib.sha256(data).digest() + data)
        Path(file.name).replace(path)
        for old in path.parent.glob("guard-rules-*.hsdb"):
            if old != path:
                old.unlink(missing_ok=True)
    except OSError as error:
        _log.warning("rules.not_kept", error=error.strerror)


def _compile(expressions: Sequence[Expression]) -> hyperscan.Database:
    made = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    try:
        made.compile(
            expressions=[expression.wide.encode() for expression in expressions],
            ids=list(range(len(expressions))),
            elements=len(expressions),
            flags=[_flags(expression) for expression in expressions],
        )
    except hyperscan.error as error:
        raise EngineError(f"Hyperscan: {error}", _culprit(expressions)) from None
    return made


def _culprit(expressions: Sequence[Expression]) -> int | None:
    """Number of the first expression that does not compile alone."""
    for number, expression in enumerate(expressions):
        try:
            hyperscan.Database().compile(expressions=[expression.wide.encode()], ids=[0], elements=1, flags=[_flags(expression)])
        except hyperscan.error:
            return number
    return None
