"""Which of the atoms match a text: asked of Hyperscan, or of RE2 where Hyperscan has no wheel.

Both answer alike; a test asks both. A scan tells only that an atom matches: where, the exact form of an expression tells.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import re2

from services.guard.detection.expressions import Atom, for_re2, options

_SET_ATOMS = 64
"""Atoms of one set of RE2. The automaton of a set is built as texts are met: that of a thousand atoms meets new states in every
text, those of a few return to the ones they have; 16 sets read six times as fast as one, 64 slower again."""
_MAX_SET_MEMORY = 64 * 1024 * 1024


class EngineError(ValueError):
    """An atom cannot be compiled; `number` says which, None that it is all together."""

    def __init__(self, reason: str, number: int | None) -> None:
        super().__init__(reason)
        self.number = number


class Engine(Protocol):
    """Tells which atoms match."""

    def proposed(self, data: bytes) -> set[int]:
        """Numbers of the atoms that match `data`, UTF-8."""


MakeEngine = Callable[[Sequence[Atom], Path | None], Engine]
"""Takes atoms and the folder where compiled databases are kept to an engine."""


class Re2Engine:
    """Sets of RE2, of what is matched by bytes and of what is matched by code points.

    Raises:
        EngineError: RE2 cannot compile an atom.
    """

    def __init__(self, atoms: Sequence[Atom]) -> None:
        self._sets: list[tuple[re2.Set, list[int]]] = []
        for code_points in (False, True):
            like = [number for number, item in enumerate(atoms) if item.code_points is code_points]
            for first in range(0, len(like), _SET_ATOMS):
                numbers = like[first : first + _SET_ATOMS]
                how = options(code_points=code_points)
                how.max_mem = _MAX_SET_MEMORY
                made = re2.Set.SearchSet(how)
                for number in numbers:
                    try:
                        made.Add(for_re2(atoms[number].wide, code_points=code_points))
                    except re2.error as error:
                        raise EngineError(f"RE2: {error}", number) from None
                made.Compile()
                self._sets.append((made, numbers))

    def proposed(self, data: bytes) -> set[int]:
        """Numbers of the atoms that match `data`, UTF-8."""
        return {numbers[place] for made, numbers in self._sets for place in made.Match(data) or ()}


class HyperscanEngine:
    """Hyperscan's database of the atoms, one scratch a thread.

    Of the library: block mode keeps no state between calls, a scratch serves one scan at a time, and the callback must outlive the
    scan.

    Args:
        atoms: what is looked for; compiled here, which takes seconds.
        cache: folder where compiled databases are kept; None keeps none.

    Raises:
        EngineError: Hyperscan cannot compile an atom.
        ImportError: there is no Hyperscan for this machine.
    """

    def __init__(self, atoms: Sequence[Atom], cache: Path | None = None) -> None:
        from services.guard.detection import compiled

        self._use(compiled.database(atoms, cache))

    @classmethod
    def of(cls, database: Any) -> HyperscanEngine:
        """The engine of a compiled database."""
        made = cls.__new__(cls)
        made._use(database)
        return made

    def _use(self, database: Any) -> None:
        from services.guard.detection import compiled

        self._new_scratch = compiled.scratch
        self._database = database
        self._local = threading.local()

    def proposed(self, data: bytes) -> set[int]:
        """Numbers of the atoms that match `data`, UTF-8."""
        found: set[int] = set()

        def on_match(expression: int, _start: int, _end: int, _flags: int, _context: object) -> None:
            found.add(expression)

        self._database.scan(data, match_event_handler=on_match, scratch=self._scratch())
        return found

    def _scratch(self) -> Any:
        scratch = getattr(self._local, "scratch", None)
        if scratch is None:
            scratch = self._local.scratch = self._new_scratch(self._database)
        return scratch


def engine(atoms: Sequence[Atom], cache: Path | None = None) -> Engine:
    """Hyperscan, waited for, where there is one, else RE2; `stand_in.engine` does not wait.

    Raises:
        EngineError: an atom cannot be compiled.
    """
    try:
        return HyperscanEngine(atoms, cache)
    except ImportError:
        return Re2Engine(atoms)
