"""`python -m services.retriever rebuild`: embeds every passage with the served embedder and builds the index anew.

May be killed at any time: vectors of the new embedder stand beside the old ones until all are there.
"""

from __future__ import annotations

import shutil

from services.mesh.log import get_logger
from services.mesh.triton import TritonClient
from services.retriever import truth_reads, truth_writes
from services.retriever.index_keeper import IndexKeeper
from services.retriever.index_kinds import store_kind
from services.retriever.indexing_text import embedded_text
from services.retriever.models import Models, fingerprint
from services.retriever.settings import RetrieverSettings
from services.retriever.truth import Truth
from services.retriever.truth_kinds import truth_of

log = get_logger(__name__)

_BATCH = 256


async def rebuild(settings: RetrieverSettings) -> int:
    """Brings vectors and index to the served embedder; returns the number of chunks embedded anew.

    Raises:
        TruthUnusable: while the retriever runs.
        MeshError: MODEL_UNAVAILABLE, DEADLINE_EXCEEDED, STORE_UNAVAILABLE; what was embedded so far is kept.
    """
    truth = truth_of(settings)
    triton = TritonClient(settings.triton)
    try:
        await truth.open()
        truth.refuse_others()
        models = Models(triton, batch=settings.retriever_embed_batch, seconds=settings.retriever_model_seconds)
        embedder = fingerprint(await models.identify())
        embedded = await _embed(truth, models, embedder)
        epoch = await truth.write(lambda connection: truth_writes.adopt(connection, embedder))
        folder = settings.folder / "index"
        shutil.rmtree(folder, ignore_errors=True)
        kind = store_kind(settings)
        index = IndexKeeper(truth, folder, settings.retriever_index, kind, settings.retriever_fallback_chunks)
        await index.open()
        await index.close()
        log.info("rebuilt", chunks=embedded, embedder=embedder, epoch=epoch)
        return embedded
    finally:
        await triton.close()
        await truth.close()


async def _embed(truth: Truth, models: Models, embedder: str) -> int:
    embedded = 0
    while batch := await truth.read(lambda connection: truth_reads.chunks_without_vector(connection, embedder, _BATCH)):
        vectors = await models.embed_passages([embedded_text(path, text) for _, path, text in batch])
        ids = [chunk for chunk, _, _ in batch]
        await truth.write(lambda connection, ids=ids, vectors=vectors: truth_writes.add_vectors(connection, embedder, ids, vectors))  # type: ignore[misc]
        embedded += len(batch)
    return embedded
