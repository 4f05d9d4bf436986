"""Which kinds of index there are, by the name that the setting has."""

from __future__ import annotations

from services.retriever.edge_store import EdgeStore
from services.retriever.exact_store import ExactStore
from services.retriever.index import StoreKind
from services.retriever.settings import RetrieverSettings


def store_kind(settings: RetrieverSettings) -> StoreKind:
    """The kind that `settings.retriever_index` names.

    Raises:
        ModuleNotFoundError: Weaviate's client is not installed (`make setup-weaviate`).
    """
    if settings.retriever_index == "weaviate":
        # Its client is not installed where no Weaviate is used.
        from services.retriever.weaviate_store import WeaviateKind

        return WeaviateKind(settings.retriever_weaviate)
    kinds: dict[str, StoreKind] = {"edge": EdgeStore, "exact": ExactStore}
    return kinds[settings.retriever_index]
