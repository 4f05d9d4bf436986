"""Which stores of truth there are, by the name that the setting has."""

from __future__ import annotations

from services.retriever.settings import RetrieverSettings
from services.retriever.truth import Truth
from services.retriever.truth_schema import TruthUnusable
from services.retriever.truth_sqlite import SqliteTruth


def truth_of(settings: RetrieverSettings) -> Truth:
    """The store that the settings name; `Truth.open` comes before the first question.

    Raises:
        TruthUnusable: it cannot be used; the message says what to do.
    """
    if settings.retriever_truth == "postgresql":
        # Its client is not installed where no PostgreSQL is used.
        try:
            from services.retriever.postgres.truth import PostgresTruth
        except ModuleNotFoundError as error:
            raise TruthUnusable(f"the client of PostgreSQL is not installed ({error.name}): make setup-postgres") from None
        return PostgresTruth(settings.folder, settings.retriever_postgres)
    return SqliteTruth(settings.folder)
