"""What a search found, as messages: Evidence, what was searched, and the reasons of Explain."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from google.protobuf.duration_pb2 import Duration
from ragmesh.evidence.v1 import search_pb2
from ragmesh.evidence.v1.evidence_pb2 import Evidence, Scores
from ragmesh.evidence.v1.model_pb2 import ModelRef
from ragmesh.evidence.v1.text_pb2 import TextRange
from ragmesh.retriever.v1 import retriever_service_pb2 as pb

from services.retriever.documents import timestamp
from services.retriever.explaining import Candidate, Drop, Standing
from services.retriever.fusion import Method
from services.retriever.models import Models
from services.retriever.results import Compressed, Found, Leg, Result
from services.retriever.rewriting.plan import Plan
from services.retriever.sufficiency.judging import Decision, Judged

_EVIDENCE_ID_BYTES = 16
_EXCERPT_CHARS = 240
_MAX_CHANGES = 64

_LEGS = {
    Leg.DENSE: pb.SearchLeg.SEARCH_LEG_DENSE,
    Leg.SPARSE: pb.SearchLeg.SEARCH_LEG_SPARSE,
    Leg.INDEX: pb.SearchLeg.SEARCH_LEG_INDEX,
    Leg.RERANK: pb.SearchLeg.SEARCH_LEG_RERANK,
    Leg.COMPRESSION: pb.SearchLeg.SEARCH_LEG_COMPRESSION,
}
METHODS: dict[pb.FusionMethod.ValueType, Method] = {
    pb.FusionMethod.FUSION_METHOD_RELATIVE: "relative",
    pb.FusionMethod.FUSION_METHOD_RANKS: "ranks",
}
_DECISIONS = {
    Decision.ANSWER: search_pb2.SufficiencyDecision.SUFFICIENCY_DECISION_ANSWER,
    Decision.ANSWER_WITH_GAP: search_pb2.SufficiencyDecision.SUFFICIENCY_DECISION_ANSWER_WITH_GAP,
    Decision.ASK_BACK: search_pb2.SufficiencyDecision.SUFFICIENCY_DECISION_ASK_BACK,
    Decision.ABSTAIN: search_pb2.SufficiencyDecision.SUFFICIENCY_DECISION_ABSTAIN,
}
_DROPS = {
    Drop.LIMIT: pb.DropReason.DROP_REASON_LIMIT,
    Drop.SAME_DOCUMENT: pb.DropReason.DROP_REASON_SAME_DOCUMENT,
    Drop.FOUND_TWICE: pb.DropReason.DROP_REASON_FOUND_TWICE,
    Drop.TOKENS: pb.DropReason.DROP_REASON_TOKENS,
    Drop.REPEAT: pb.DropReason.DROP_REASON_REPEAT,
    Drop.HELD_BACK: pb.DropReason.DROP_REASON_HELD_BACK,
}


def chunk_name(version_name: str, uid: str) -> str:
    """`collections/{c}/documents/{d}/versions/{v}/chunks/{k}`; empty without a chunk."""
    return f"{version_name}/chunks/{uid}" if uid else ""


def search_response(found: Found, models: Models) -> pb.SearchResponse:
    """The answer of a search."""
    response = pb.SearchResponse(
        evidence=[_evidence(result, found.epoch, models) for result in found.results],
        documents_searched=found.documents,
        index_epoch=found.epoch,
        degraded=[pb.SearchDegradation(leg=_LEGS[leg], reason=reason) for leg, reason in found.degraded.items()],
        timings=[pb.LegTiming(leg=_LEGS[leg], elapsed=_duration(seconds)) for leg, seconds in found.seconds.items()],
        searched=_searched(found.plan),
    )
    if found.compressed is not None:
        response.compression.CopyFrom(_compression(found.compressed, response.evidence))
    if found.judged is not None:
        response.sufficiency.CopyFrom(_sufficiency(found.judged))
    return response


def _sufficiency(judged: Judged) -> search_pb2.Sufficiency:
    return search_pb2.Sufficiency(
        probability=judged.probability,
        decision=_DECISIONS[judged.decision],
        factors=[search_pb2.SufficiencyFactor(name=name, value=value) for name, value in judged.factors.items()],
        missing=judged.missing,
        threshold=judged.threshold,
    )


def _compression(made: Compressed, evidence: Sequence[Evidence]) -> pb.Compression:
    return pb.Compression(
        max_tokens=made.max_tokens,
        tokens_before=made.tokens_before,
        tokens_after=made.tokens_after,
        passages=[
            pb.CompressedPassage(
                evidence=one.name, header=told.header, tokens_before=told.tokens_before, tokens_after=told.tokens_after
            )
            for one, told in zip(evidence, made.results, strict=True)
        ],
        dropped=made.dropped,
    )


def explain_response(
    response: pb.SearchResponse, found: Found, candidates: Sequence[Candidate], *, dense_weight: float, method: Method, depth: int
) -> pb.ExplainResponse:
    """A search with its reasons."""
    fusions = {name: value for value, name in METHODS.items()}
    return pb.ExplainResponse(
        response=response,
        queries=[
            pb.ExplainedQuery(text=query.text, terms=[pb.WeightedTerm(term=term, weight=weight) for term, weight in query.terms])
            for query in found.plan.queries
        ],
        candidates=[_candidate(candidate) for candidate in candidates],
        dense_weight=dense_weight,
        fusion=fusions[method],
        rerank_depth=depth,
    )


def _searched(plan: Plan) -> search_pb2.Searched:
    changes = [
        search_pb2.Rewrite(kind=change.kind, before=change.before, after=change.after, weight=change.weight)
        for change in plan.changes[:_MAX_CHANGES]
    ]
    return search_pb2.Searched(text=plan.text, rewrites=changes, parts=plan.parts, language=plan.language, type=plan.type)


def _candidate(candidate: Candidate) -> pb.ExplainedCandidate:
    chunk = candidate.result.chunk
    made = pb.ExplainedCandidate(
        chunk=chunk_name(f"{chunk.key.name}/versions/{chunk.version_uid}", chunk.uid),
        title_path=chunk.title_path,
        excerpt=chunk.text[:_EXCERPT_CHARS],
        source_uri=chunk.source_uri,
        query=candidate.query,
        dense=_place(candidate.dense),
        sparse=_place(candidate.sparse),
        fused=_place(candidate.fused),
        reranked=_place(candidate.reranked),
        rank=candidate.rank,
    )
    if candidate.dropped is not None:
        made.dropped = _DROPS[candidate.dropped]
    return made


def _place(standing: Standing | None) -> pb.Place | None:
    return None if standing is None else pb.Place(rank=standing.rank, score=standing.score)


def _duration(seconds: float) -> Duration:
    made = Duration()
    made.FromNanoseconds(int(seconds * 1e9))
    return made


def _took_part(result: Result, models: Models) -> list[ModelRef]:
    """The models without which it would not have been found, or not there: the embedder for the dense leg, the reranker."""
    asked = ((models.embedder, result.dense), (models.reranker, result.rerank))
    return [model for model, score in asked if model is not None and score is not None]


def _evidence(result: Result, epoch: int, models: Models) -> Evidence:
    chunk = result.chunk
    version_name = f"{chunk.key.name}/versions/{chunk.version_uid}"
    scores = Scores(fused=result.fused)
    if result.dense is not None:
        scores.dense = result.dense
    if result.sparse is not None:
        scores.sparse = result.sparse
    if result.rerank is not None:
        scores.rerank = result.rerank
    return Evidence(
        name=f"ev_{secrets.token_hex(_EVIDENCE_ID_BYTES)}",
        chunk=chunk_name(version_name, chunk.uid),
        document=chunk.key.name,
        document_version=version_name,
        title_path=chunk.title_path,
        text=result.text if result.kept else chunk.text,
        spans=[TextRange(start=start, end=end) for start, end in result.kept or ((chunk.start, chunk.end),)],
        scores=scores,
        index_epoch=epoch,
        models=_took_part(result, models),
        source_uri=chunk.source_uri,
        version_time=timestamp(chunk.version_time),
        quoted=[TextRange(start=start, end=end) for start, end in result.quoted],
    )
