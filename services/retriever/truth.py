"""The store of truth as everything else sees it: what it is asked with, whichever database it stands in.

Questions and changes are functions on a `Connection` (`truth_reads`, `truth_writes`, `truth_sources`, `truth_links`), in the SQL
that SQLite speaks; `postgres.statements` says what of it PostgreSQL calls otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found out about a store of truth, for people."""

    name: str
    good: bool
    detail: str
    remedy: str = ""


class Rows(Protocol):
    """What a statement brought. Columns of a row are read by name or by place."""

    @property
    def rowcount(self) -> int:
        """Rows that the statement changed."""
        ...

    def fetchone(self) -> Any:
        """The next row, or None."""
        ...

    def fetchall(self) -> list[Any]:
        """All that are left."""
        ...

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """Runs statements with `?` or `:name` where values go. `sqlite3.Connection` is one."""

    def execute(self, sql: str, values: Any = ..., /) -> Rows:
        """Runs one statement."""
        ...

    def executemany(self, sql: str, rows: Iterable[Any], /) -> Rows:
        """Runs one statement for each of `rows`."""
        ...


class Truth(Protocol):
    """A store of truth."""

    instance: str
    """Id of the store, as the index beside it is marked with it."""
    follower: str
    """Name under which the index beside this process follows the changes; see `truth_writes.settle`."""
    shared: bool
    """Whether other processes change it too, so that their changes have to be looked for."""

    async def open(self) -> None:
        """Before the first question.

        Raises:
            TruthUnusable: it does not answer.
        """
        ...

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Runs `work` on one state of the store. Where it is shared, twice if the connection is lost.

        Raises:
            MeshError: STORE_UNAVAILABLE, and what `work` raises.
        """
        ...

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Runs `work` as one transaction that is durable when this returns, one at a time over all processes.

        Where the store is shared and the connection is lost before the end of the transaction, `work` runs a second time.

        Raises:
            MeshError: STORE_UNAVAILABLE, and what `work` raises.
        """
        ...

    def beside(self) -> AbstractContextManager[Connection]:
        """A connection of one's own on one state, for reading much without holding up anybody. For a thread, never for the loop.

        Raises:
            MeshError: STORE_UNAVAILABLE, from a store on a server.
        """
        ...

    async def changed(self) -> None:
        """Returns when it is time to look for the changes of other processes; never where there are none."""
        ...

    def refuse_others(self) -> None:
        """Looks whether another process uses the store. Before everything is changed at once. May block.

        Raises:
            TruthUnusable: one does.
        """
        ...

    async def close(self) -> None:
        """Lets go of it."""
        ...
