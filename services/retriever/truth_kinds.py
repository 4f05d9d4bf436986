"""Which stores of truth there are, by the name that the setting has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from services.retriever.settings import RetrieverSettings
from services.retriever.truth import Checked, Truth
from services.retriever.truth_schema import TruthUnusable
from services.retriever.truth_sqlite import SqliteTruth


def truth_of(settings: RetrieverSettings) -> Truth:
    """The store that the settings name; `Truth.open` comes before the first question.

    Raises:
        TruthUnusable: it cannot be used; the message says what to do.
    """
    if settings.retriever_truth == "sqlite":
        return SqliteTruth(settings.folder)
    with _client():
        from services.retriever.postgres.truth import PostgresTruth
    return PostgresTruth(settings.folder, settings.retriever_postgres)


def move_truth(settings: RetrieverSettings) -> None:
    """Copies the SQLite file to the PostgreSQL of the settings, and prints what was compared.

    Raises:
        TruthUnusable: see `postgres.moving.move`.
    """
    with _client():
        from services.retriever.postgres.moving import move
    for table in move(settings.folder, settings.retriever_postgres):
        print(f"{table.table}: {table.rows} rows, SHA-256 {table.sha256[:16]} in both")


def check_truth(settings: RetrieverSettings) -> Iterator[Checked]:
    """What there is to know of the store that the settings name, for `ragmesh doctor`; of a file nothing."""
    if settings.retriever_truth == "sqlite":
        return
    try:
        with _client():
            from services.retriever.postgres.checking import check
    except TruthUnusable as refused:
        yield Checked("postgresql", False, str(refused))
        return
    yield from check(settings.retriever_postgres)


@contextmanager
def _client() -> Iterator[None]:
    """Its client is not installed where no PostgreSQL is used."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise TruthUnusable(f"the client of PostgreSQL is not installed ({error.name}): make setup-postgres") from None
