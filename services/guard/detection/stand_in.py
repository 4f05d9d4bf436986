"""A guard that is ready at once: RE2 stands in until Hyperscan's database is compiled, apart and without haste, or found in a file.

Both engines answer alike, so that the exchange changes no verdict, only what it costs. No request waits for it.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Sequence
from pathlib import Path

from services.guard.detection.engines import Engine, EngineError, HyperscanEngine, Re2Engine
from services.guard.detection.expressions import Atom
from services.mesh.log import get_logger

_log = get_logger(__name__)
_ONE_AT_A_TIME = threading.Lock()
_EXCERPT = 200


class StandIn:
    """RE2, and Hyperscan from when it is compiled.

    Args:
        atoms: what may match.
        cache: folder where compiled databases are kept; None keeps none.

    Raises:
        EngineError: RE2 cannot compile an atom. What Hyperscan cannot compile is logged, and RE2 stays.
    """

    def __init__(self, atoms: Sequence[Atom], cache: Path | None = None) -> None:
        self._engine: Engine = Re2Engine(atoms)
        self._compiling = threading.Thread(
            target=_compile, args=(weakref.ref(self), tuple(atoms), cache), name="guard-rules", daemon=True
        )
        self._compiling.start()

    def proposed(self, data: bytes) -> set[int]:
        """Numbers of the atoms that match `data`, UTF-8."""
        return self._engine.proposed(data)

    def exchange(self, engine: Engine) -> None:
        """Ask `engine` from now on."""
        self._engine = engine

    def wait(self) -> Engine:
        """Until Hyperscan's database is there or will not be; what is asked from then on."""
        self._compiling.join()
        return self._engine


def _compile(asked: weakref.ref[StandIn], atoms: Sequence[Atom], cache: Path | None) -> None:
    """Compiles `atoms` in a process of its own and exchanges the engine, unless nobody needs it any more."""
    from services.guard.detection import compiled

    with _ONE_AT_A_TIME:
        if asked() is None:
            return
        began = time.monotonic()
        try:
            # Another guard may have compiled the same meanwhile.
            found = compiled.kept(atoms, cache)
            if found is None:
                data = compiled.compiled_apart(atoms)
                found = compiled.loaded(data)
                if cache is not None:
                    compiled.keep(atoms, cache, data)
        except EngineError as error:
            source = "" if error.number is None else atoms[error.number].wide[:_EXCERPT]
            _log.error("rules.not_compiled", error=str(error), atom=source)
            return
        except OSError as error:
            _log.error("rules.not_compiled", error=error.strerror)
            return
        engine = asked()
        if engine is not None:
            engine.exchange(HyperscanEngine.of(found))
            _log.info("rules.compiled", seconds=round(time.monotonic() - began, 1))


def engine(atoms: Sequence[Atom], cache: Path | None = None) -> Engine:
    """Hyperscan where a database is kept; RE2 until one is; RE2 alone where there is no Hyperscan for this machine.

    Raises:
        EngineError: an atom cannot be compiled.
    """
    try:
        from services.guard.detection import compiled
    except ImportError:
        return Re2Engine(atoms)
    found = compiled.kept(atoms, cache)
    return StandIn(atoms, cache) if found is None else HyperscanEngine.of(found)
