"""Which stores of truth there are, by the name that the setting has."""

from __future__ import annotations

from services.retriever.settings import RetrieverSettings
from services.retriever.truth import Truth
from services.retriever.truth_sqlite import SqliteTruth


def truth_of(settings: RetrieverSettings) -> Truth:
    """The store that the settings name; `Truth.open` comes before the first question.

    Raises:
        TruthUnusable: it cannot be used; the message says what to do.
    """
    return SqliteTruth(settings.folder)
