"""The index on a Weaviate server: a Weaviate collection for each time the index was built, a Weaviate tenant for each collection.

Vectors are ours (no vectoriser); BM25 counts our terms (white space alone cuts them). What stands here is no truth: a new index is
built in a Weaviate collection of its own and then takes the place of the old one, as the folders of the local stores do. The folder
of the index holds the name of the collection and the epoch it stands at.
"""

from __future__ import annotations

import math
import re
import secrets
import uuid
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from weaviate import WeaviateAsyncClient
from weaviate.classes.config import Configure, ConsistencyLevel, DataType, Property, Tokenization, VectorDistances
from weaviate.classes.data import DataObject
from weaviate.classes.query import Filter, HybridFusion, MetadataQuery
from weaviate.collections import CollectionAsync
from weaviate.collections.classes.filters import _Filters

from services.retriever.index import (
    BM25_B,
    BM25_K1,
    FusedHit,
    Hit,
    IndexAway,
    IndexLate,
    IndexMeta,
    IndexUnusable,
    Labels,
    WeightedTerms,
    document_marks,
)
from services.retriever.records import IndexedChunk
from services.retriever.weaviate_server import WeaviateServer, Work
from services.retriever.weaviate_settings import WeaviateSettings

KIND = "weaviate"
_DENSE = "dense"
_TERMS = "terms"
_VERSION = "version"
_LABELS = "labels"
_BATCH = 256
_NAME_FILE = "weaviate"
_REPEATS = 8
"""Steps of a term's weight: BM25 in Weaviate has no weights, but counts a term that is repeated in the query again."""

_PART = re.compile(r"Result Set (keyword|vector)[^)]*\) Document [^:]*: original score ([-+.\deE]+),")
"""How Weaviate says, in the explanation of a hybrid hit, which score a leg gave it."""

T = TypeVar("T")


class WeaviateKind:
    """Opens and makes indexes on one Weaviate."""

    def __init__(self, settings: WeaviateSettings) -> None:
        self._settings = settings

    def create(self, folder: Path, meta: IndexMeta) -> WeaviateStore:
        """An empty index; `folder`, which is made, says which.

        Raises:
            IndexAway: Weaviate does not answer.
        """
        server = WeaviateServer(self._settings)
        name = f"{_prefix(meta)}{secrets.token_hex(4)}"
        try:
            server.run(partial(_create, self._settings, name), self._settings.change_seconds)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (folder / _NAME_FILE).write_text(name)
        except BaseException:
            server.close()
            raise
        return WeaviateStore(server, folder, name, meta)

    def open(self, folder: Path, *, trusted: bool = False) -> WeaviateStore:
        """The index that `folder` names; those that other builds left behind are deleted.

        Args:
            trusted: of no meaning here.

        Raises:
            IndexAway: Weaviate does not answer.
            IndexUnusable: it is not there.
        """
        meta = IndexMeta.read(folder)
        try:
            name = (folder / _NAME_FILE).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise IndexUnusable(f"the index does not say which collection of Weaviate it is ({type(error).__name__})") from error
        server = WeaviateServer(self._settings)
        try:
            server.run(partial(_adopt, name, _prefix(meta)), self._settings.change_seconds)
        except BaseException:
            server.close()
            raise
        return WeaviateStore(server, folder, name, meta)


def _prefix(meta: IndexMeta) -> str:
    """Names of Weaviate collections begin with a capital letter and hold letters and digits."""
    return "Ragmesh" + "".join(character for character in meta.instance if character.isalnum()) + "X"


async def _create(settings: WeaviateSettings, name: str, client: WeaviateAsyncClient) -> None:
    await client.collections.create(
        name,
        vector_config=Configure.Vectors.self_provided(
            name=_DENSE,
            quantizer=_quantizer(settings.compression),
            vector_index_config=Configure.VectorIndex.hnsw(distance_metric=VectorDistances.DOT, ef=settings.ef),
        ),
        properties=[
            Property(
                name=_TERMS,
                data_type=DataType.TEXT,
                tokenization=Tokenization.WHITESPACE,
                index_filterable=False,
                index_searchable=True,
            ),
            Property(name=_VERSION, data_type=DataType.INT, index_filterable=True),
            Property(
                name=_LABELS,
                data_type=DataType.TEXT_ARRAY,
                tokenization=Tokenization.FIELD,
                index_filterable=True,
                index_searchable=False,
            ),
        ],
        inverted_index_config=Configure.inverted_index(bm25_k1=BM25_K1, bm25_b=BM25_B),
        multi_tenancy_config=Configure.multi_tenancy(enabled=True, auto_tenant_creation=True, auto_tenant_activation=True),
        replication_config=Configure.replication(factor=settings.replication_factor, async_enabled=True)
        if settings.replication_factor > 1
        else None,
    )


async def _adopt(name: str, prefix: str, client: WeaviateAsyncClient) -> None:
    held = await client.collections.list_all(simple=True)
    if name not in held:
        raise IndexUnusable(f"Weaviate has no collection {name}")
    for other in held:
        if other.startswith(prefix) and other != name:
            await client.collections.delete(other)


class WeaviateStore:
    """See `VectorStore`."""

    def __init__(self, server: WeaviateServer, folder: Path, name: str, meta: IndexMeta) -> None:
        self._server = server
        self._folder = folder
        self._meta = meta
        self._name = name
        self._tenants: set[int] = set()
        """Collections that are known to have a tenant; none is ever taken away from an index."""
        self._level = ConsistencyLevel(server.settings.consistency)

    @property
    def epoch(self) -> int:
        """See `VectorStore`."""
        return self._meta.epoch

    def upsert(self, chunks: Sequence[IndexedChunk]) -> None:
        """See `VectorStore`. An object that Weaviate refuses fails the whole call."""
        self._meta = self._meta.after(chunks)
        by_tenant: dict[str, list[DataObject[Any, Any]]] = {}
        for chunk in chunks:
            properties = {_TERMS: " ".join(chunk.terms), _VERSION: chunk.version, _LABELS: document_marks(chunk.labels)}
            one = DataObject(properties=properties, uuid=_uuid(chunk.id), vector={_DENSE: chunk.vector.tolist()})
            by_tenant.setdefault(_tenant(chunk.collection), []).append(one)
        for tenant, objects in by_tenant.items():
            for first in range(0, len(objects), _BATCH):
                self._change(partial(self._insert, tenant, objects[first : first + _BATCH]))

    async def _insert(self, tenant: str, objects: list[DataObject[Any, Any]], client: WeaviateAsyncClient) -> None:
        answer = await self._of(client).with_tenant(tenant).data.insert_many(objects)
        if answer.has_errors:
            first = next(iter(answer.errors.values()))
            raise IndexAway(f"Weaviate did not take {len(answer.errors)} of {len(objects)} chunks: {first.message}"[:300])

    def delete_version(self, version: int) -> None:
        """See `VectorStore`."""
        self._change(partial(self._delete_version, version))

    async def _delete_version(self, version: int, client: WeaviateAsyncClient) -> None:
        where = Filter.by_property(_VERSION).equal(version)
        collection = self._of(client)
        for tenant in await collection.tenants.get():
            # A call deletes a bounded number of objects.
            while True:
                answer = await collection.with_tenant(tenant).data.delete_many(where=where)
                if answer.failed:
                    raise IndexAway(f"Weaviate could not delete {answer.failed} chunks of version {version}")
                if answer.matches == answer.successful:
                    break

    def dense(
        self, vector: NDArray[np.float32], collection: int, limit: int, seconds: float = math.inf, *, labels: Labels = None
    ) -> list[Hit]:
        """See `VectorStore`; approximate, by HNSW."""
        return self._search(partial(self._dense, vector.tolist(), collection, labels, limit), seconds)

    async def _dense(
        self, vector: list[float], collection: int, labels: Labels, limit: int, client: WeaviateAsyncClient
    ) -> list[Hit]:
        scope = await self._scope(client, collection)
        if scope is None:
            return []
        found = await scope.query.near_vector(
            vector,
            target_vector=_DENSE,
            filters=self._seen(labels),
            limit=limit,
            return_properties=[],
            return_metadata=MetadataQuery(distance=True),
        )
        return [Hit(one.uuid.int, -float(one.metadata.distance or 0.0)) for one in found.objects]

    def sparse(
        self, terms: WeightedTerms, collection: int, limit: int, seconds: float = math.inf, *, labels: Labels = None
    ) -> list[Hit]:
        """See `VectorStore`. Weights count in steps of an eighth of the greatest."""
        return self._search(partial(self._sparse, _repeated(terms), collection, labels, limit), seconds)

    async def _sparse(self, query: str, collection: int, labels: Labels, limit: int, client: WeaviateAsyncClient) -> list[Hit]:
        scope = await self._scope(client, collection)
        if scope is None or not query:
            return []
        found = await scope.query.bm25(
            query,
            query_properties=[_TERMS],
            filters=self._seen(labels),
            limit=limit,
            return_properties=[],
            return_metadata=MetadataQuery(score=True),
        )
        hits = [Hit(one.uuid.int, float(one.metadata.score or 0.0)) for one in found.objects]
        return [hit for hit in hits if hit.score > 0]

    def hybrid(
        self,
        vector: NDArray[np.float32],
        terms: WeightedTerms,
        collection: int,
        limit: int,
        *,
        dense_weight: float,
        seconds: float = math.inf,
        labels: Labels = None,
    ) -> list[FusedHit]:
        """See `FusingStore`. Each leg brings 100 hits at least (QUERY_HYBRID_MAXIMUM_RESULTS of Weaviate), or `limit`.

        Raises:
            IndexLate: also where the explanations of this Weaviate do not say what each leg gave.
        """
        ask = partial(self.fused, vector, terms, collection, limit, dense_weight=dense_weight, fusion=HybridFusion.RELATIVE_SCORE)
        found = self._search(lambda client: ask(client=client, labels=labels), seconds)
        return [_parts(one.uuid.int, float(one.metadata.score or 0.0), one.metadata.explain_score or "") for one in found]

    async def fused(
        self,
        vector: NDArray[np.float32],
        terms: WeightedTerms,
        collection: int,
        limit: int,
        *,
        dense_weight: float,
        fusion: HybridFusion,
        client: WeaviateAsyncClient,
        labels: Labels = None,
    ) -> list[Any]:
        """What Weaviate answers, fused by either method, with its explanations."""
        scope = await self._scope(client, collection)
        if scope is None:
            return []
        found = await scope.query.hybrid(
            _repeated(terms),
            alpha=dense_weight,
            vector={_DENSE: vector.tolist()},
            target_vector=_DENSE,
            query_properties=[_TERMS],
            fusion_type=fusion,
            filters=self._seen(labels),
            limit=limit,
            return_properties=[],
            return_metadata=MetadataQuery(score=True, explain_score=True),
        )
        return list(found.objects)

    def _seen(self, labels: Labels) -> _Filters | None:
        marks = self._meta.marks(labels)
        return None if marks is None else Filter.by_property(_LABELS).contains_any(marks)

    def _of(self, client: WeaviateAsyncClient) -> CollectionAsync[Any, Any]:
        return client.collections.use(self._name).with_consistency_level(self._level)

    async def _scope(self, client: WeaviateAsyncClient, collection: int) -> CollectionAsync[Any, Any] | None:
        """The tenant of a collection; None where nothing was ever stored of it."""
        held = self._of(client)
        if collection not in self._tenants:
            if not await held.tenants.exists(_tenant(collection)):
                return None
            self._tenants.add(collection)
        return held.with_tenant(_tenant(collection))

    def count(self, collection: int | None = None) -> int:
        """See `VectorStore`."""
        return self._change(partial(self._count, collection))

    async def _count(self, wanted: int | None, client: WeaviateAsyncClient) -> int:
        total = 0
        collection = self._of(client)
        for tenant in await collection.tenants.get():
            if wanted is not None and tenant != _tenant(wanted):
                continue
            answer = await collection.with_tenant(tenant).aggregate.over_all(total_count=True)
            total += answer.total_count or 0
        return total

    def flush(self, epoch: int, embedder: str) -> None:
        """See `VectorStore`. Weaviate has written what it acknowledged."""
        self._meta = self._meta.at(epoch, embedder)
        self._meta.write(self._folder)

    def close(self) -> None:
        """See `VectorStore`."""
        self._server.close()

    def _search(self, work: Work[T], seconds: float) -> T:
        own = self._server.settings.search_seconds
        try:
            return self._server.run(work, min(own, seconds))
        except IndexAway as reason:
            if seconds < own:
                raise IndexLate(str(reason)) from reason
            raise

    def _change(self, work: Work[T]) -> T:
        return self._server.run(work, self._server.settings.change_seconds)


def _quantizer(compression: str) -> Any:
    quantizer = Configure.VectorIndex.Quantizer
    return {"none": None, "int8": quantizer.sq(), "rq": quantizer.rq(), "pq": quantizer.pq()}[compression]


def _parts(chunk: int, score: float, explanation: str) -> FusedHit:
    found = {leg: float(value) for leg, value in _PART.findall(explanation)}
    if not found:
        raise IndexLate("this Weaviate explains its hybrid hits otherwise")
    # It turns distances around before it fuses: what it calls the score of a dot product is one more.
    dense = found["vector"] - 1.0 if "vector" in found else None
    return FusedHit(chunk, score, dense, found.get("keyword"))


def _uuid(chunk: int) -> uuid.UUID:
    return uuid.UUID(int=chunk)


def _tenant(collection: int) -> str:
    return f"collection{collection}"


def _repeated(terms: WeightedTerms) -> str:
    greatest = max((weight for _, weight in terms), default=0.0)
    return " ".join(" ".join([term] * max(1, round(_REPEATS * weight / greatest))) for term, weight in terms if weight > 0)
