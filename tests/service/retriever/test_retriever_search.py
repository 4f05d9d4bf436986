"""Search and passages over gRPC with real models: what Evidence is made of, what a search says about itself."""

from __future__ import annotations

import math
from typing import Any

import grpc
import pytest
from ragmesh.evidence.v1.search_pb2 import RewriteKind
from ragmesh.evidence.v1.text_pb2 import Role, Utterance
from ragmesh.retriever.v1 import retriever_service_pb2 as pb

from services.mesh.errors import from_rpc_error
from tests.service.retriever.retriever_fixture import VISITOR, RetrieverClient, import_of

DOCUMENTS = {
    "liver": "# CBD and the liver\n\nCannabidiol is broken down in the liver by the enzymes CYP3A4 and CYP2C19.\n\n"
    "## Blood tests\n\nRaised liver enzymes were seen in some trials.\n\n## Doses\n\nHigh doses raised them more often.\n",
    "hemp": "# Hemp\n\nHemp is an annual plant that grows to four metres.\n\n## Harvest\n\nIt is cut in late summer.\n",
    "sleep": "# Sleep\n\nSleep improved in the first month in most patients.\n",
}


@pytest.fixture
async def filled(client: RetrieverClient) -> RetrieverClient:
    requests = []
    for name, text in DOCUMENTS.items():
        requests += import_of(name, text, source_uri=f"{name}.md")
    assert all(response.HasField("acked") for response in await client.send(requests))
    client.principal = VISITOR
    return client


async def reason(coroutine: object) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await coroutine  # type: ignore[misc]
    return from_rpc_error(caught.value, service="retriever").reason


async def test_evidence_is_complete(filled: RetrieverClient) -> None:
    found = await filled.search("Which liver enzymes break down cannabidiol?")
    best = found.evidence[0]
    assert best.text == "Cannabidiol is broken down in the liver by the enzymes CYP3A4 and CYP2C19."
    assert best.name.startswith("ev_")
    assert len(best.name) == 35
    assert best.document == "collections/default/documents/liver"
    assert best.document_version.startswith(f"{best.document}/versions/")
    assert best.chunk.startswith(f"{best.document_version}/chunks/")
    assert list(best.title_path) == ["CBD and the liver"]
    assert best.source_uri == "liver.md"
    assert best.index_epoch == found.index_epoch == 3
    assert best.version_time.seconds > 1_700_000_000
    assert best.scores.HasField("dense")
    assert best.scores.HasField("sparse")
    assert best.scores.HasField("fused")
    assert best.scores.HasField("rerank")
    assert 0 < best.scores.dense <= 1
    assert [model.name for model in best.models] == ["embedder", "reranker"]
    assert all(len(model.weights_sha256) == 64 for model in best.models)
    canonical = DOCUMENTS["liver"].replace("# ", "").replace("## ", "").replace("#", "")
    assert canonical.encode()[best.spans[0].start : best.spans[0].end].decode() == best.text
    assert found.documents_searched == 3
    assert list(found.degraded) == []
    legs = {pb.SearchLeg.SEARCH_LEG_DENSE, pb.SearchLeg.SEARCH_LEG_SPARSE, pb.SearchLeg.SEARCH_LEG_RERANK}
    assert {timing.leg for timing in found.timings} == legs


async def test_names_are_new_in_each_search_and_chunks_are_not(filled: RetrieverClient) -> None:
    first, second = await filled.search("liver enzymes"), await filled.search("liver enzymes")
    assert [one.chunk for one in first.evidence] == [one.chunk for one in second.evidence]
    assert not {one.name for one in first.evidence} & {one.name for one in second.evidence}


async def test_evidence_comes_best_first_and_to_the_limit(filled: RetrieverClient) -> None:
    found = await filled.search("liver enzymes", limit=3)
    marks = [one.scores.rerank for one in found.evidence]
    assert len(marks) == 3
    assert marks == sorted(marks, reverse=True)


async def test_without_reranking_the_fusion_orders(filled: RetrieverClient) -> None:
    found = await filled.search("liver enzymes", limit=3, rerank_depth=0)
    assert not any(one.scores.HasField("rerank") for one in found.evidence)
    assert pb.SearchLeg.SEARCH_LEG_RERANK not in {timing.leg for timing in found.timings}
    fused = [one.scores.fused for one in found.evidence]
    assert fused == sorted(fused, reverse=True)
    assert all([model.name for model in one.models] == ["embedder"] for one in found.evidence)


async def test_what_the_query_says_counts_more_than_how_often_its_words_stand(client: RetrieverClient) -> None:
    often = "# Hemp fibre\n\nHemp fibre, hemp rope, hemp cloth: the hemp of the harvest, hemp fibre and hemp paper.\n"
    await client.put("often", often)
    await client.put("said", "# Farming\n\nThe harvest of fibre hemp begins in late July, when the plants flower.\n")
    query = "When does the harvest of fibre hemp begin?"
    assert (await client.search(query, dense_weight=0.0)).evidence[0].document.endswith("/said")


async def test_weights_choose_the_legs(filled: RetrieverClient) -> None:
    sparse = await filled.search("liver enzymes", dense_weight=0.0, rerank_depth=0)
    assert [timing.leg for timing in sparse.timings] == [pb.SearchLeg.SEARCH_LEG_SPARSE]
    assert all(not one.scores.HasField("dense") and not one.models for one in sparse.evidence)
    dense = await filled.search("liver enzymes", dense_weight=1.0, rerank_depth=0)
    assert [timing.leg for timing in dense.timings] == [pb.SearchLeg.SEARCH_LEG_DENSE]
    assert all(not one.scores.HasField("sparse") and one.models for one in dense.evidence)


async def test_a_question_that_refers_back_is_searched_with_the_one_before(filled: RetrieverClient) -> None:
    history = [
        Utterance(role=Role.ROLE_USER, text="Tell me about hemp"),
        Utterance(role=Role.ROLE_ASSISTANT, text="Hemp is an annual plant."),
    ]
    assert (await filled.search("When is it cut?", history=history, dense_weight=0.0)).evidence[0].title_path[-1] == "Harvest"
    alone = await filled.search("How tall is it?", dense_weight=0.0)
    together = await filled.search("How tall is it?", history=history, dense_weight=0.0)
    assert list(alone.evidence) == []
    assert together.evidence[0].document.endswith("hemp")


@pytest.mark.parametrize("query", ["what is it and why?", "?!", "🙂🙂", "the of and"])
async def test_nothing_to_search_for_is_no_evidence_and_no_error(filled: RetrieverClient, query: str) -> None:
    found = await filled.search(query)
    assert (list(found.evidence), found.documents_searched, list(found.degraded)) == ([], 3, [])


async def test_words_that_occur_nowhere(filled: RetrieverClient) -> None:
    assert list((await filled.search("xylophone quasar", dense_weight=0.0)).evidence) == []


async def test_one_document_does_not_crowd_out_the_others(client: RetrieverClient) -> None:
    long = "# Long\n" + "".join(f"\n## Part {number}\n\nThe zebra zebra of part {number}.\n" for number in range(12))
    await client.put("long", long)
    await client.put("short", "# Short\n\nThis text has one zebra among many other words that say little.\n")
    found = await client.search("zebra", limit=5)
    assert [one.document.rpartition("/")[2] for one in found.evidence] == ["long", "long", "long", "short", "long"]


async def test_a_reader_with_few_rights_still_gets_a_full_page(client: RetrieverClient) -> None:
    requests = []
    for number in range(120):
        requests += import_of(f"hidden{number}", f"# Zebra\n\nZebra zebra zebra {number}.\n", labels=["hr"])
    for number in range(4):
        requests += import_of(f"seen{number}", f"# Other\n\nSomewhere in this longer text number {number} a zebra is named once.\n")
    await client.send(requests)
    found = await client.search("zebra", VISITOR, limit=4)
    assert len(found.evidence) == 4
    assert all("/seen" in one.document for one in found.evidence)
    assert found.documents_searched == 4


async def test_collections_that_are_not_there(filled: RetrieverClient) -> None:
    assert await reason(filled.search("liver", collection="collections/nothing")) == "COLLECTION_NOT_FOUND"


@pytest.mark.parametrize(
    "fields",
    [
        {"query": ""},
        {"query": "x" * 8193},
        {"collection": "default"},
        {"limit": 0},
        {"limit": 201},
        {"dense_weight": 1.5},
        {"rerank_depth": 101},
    ],
)
async def test_requests_are_validated(filled: RetrieverClient, fields: dict[str, Any]) -> None:
    assert await reason(filled.search(**{"query": "liver", **fields})) == "INVALID_REQUEST"


async def test_dense_scores_are_cosines_of_the_real_embedder(filled: RetrieverClient) -> None:
    rows = await filled.retriever.models.embed_passages(["Sleep\nSleep improved in the first month in most patients."])
    query = await filled.retriever.models.embed_query("Does sleep improve?", timeout=10)
    found = await filled.search("Does sleep improve?", dense_weight=1.0)
    best = next(one for one in found.evidence if one.document.endswith("sleep"))
    assert math.isclose(best.scores.dense, float(rows[0] @ query), abs_tol=1e-3)


async def test_a_passage_comes_with_its_neighbours(filled: RetrieverClient) -> None:
    found = await filled.search("blood tests enzymes raised", dense_weight=0.0)
    chunk = next(one for one in found.evidence if one.title_path[-1] == "Blood tests")

    async def passage(**fields: int) -> pb.Passage:
        request = pb.GetPassageRequest(chunk=chunk.chunk, **fields)
        read: pb.Passage = (await filled.call(filled.stub.GetPassage, request)).passage
        return read

    alone = await passage(neighbours=0)
    assert alone.text == chunk.text
    assert (alone.range.start, alone.range.end) == (chunk.spans[0].start, chunk.spans[0].end)
    assert alone.previous_chunk
    assert alone.next_chunk
    wide = await passage()
    assert wide.text.startswith("Cannabidiol is broken down")
    assert wide.text.endswith("more often.")
    assert (wide.previous_chunk, wide.next_chunk) == ("", "")
    inner = wide.text.encode()[wide.chunk_range.start - wide.range.start : wide.chunk_range.end - wide.range.start]
    assert inner.decode() == chunk.text
    assert list(wide.title_path) == ["CBD and the liver", "Blood tests"]
    assert wide.source_uri == "liver.md"
    assert wide.document_version == chunk.document_version


async def test_a_passage_of_a_former_version_can_be_read_until_it_is_dropped(client: RetrieverClient) -> None:
    await client.put("a", "# A\n\nVersion zero.\n")
    chunk = (await client.search("version")).evidence[0].chunk
    read = pb.GetPassageRequest(chunk=chunk)
    for number in range(1, 3):
        await client.put("a", f"# A\n\nVersion number {number}.\n")
        assert (await client.call(client.stub.GetPassage, read)).passage.text == "Version zero."
    await client.put("a", "# A\n\nVersion number three.\n")
    assert await reason(client.call(client.stub.GetPassage, read)) == "PASSAGE_GONE"
    assert await reason(client.call(client.stub.GetPassage, pb.GetPassageRequest(chunk=f"{chunk}0"))) == "PASSAGE_GONE"


async def test_readiness_names_every_dependency(filled: RetrieverClient) -> None:
    named = {"truth": True, "index": True, "triton": True, "models": True, "reranker": True}
    assert await filled.retriever.readiness() == named
    assert await filled.server.ready()


async def test_explain_says_what_each_step_thought_of_a_passage(filled: RetrieverClient) -> None:
    request = pb.SearchRequest(collection="collections/default", query="liver enzymes", limit=2)
    told: pb.ExplainResponse = await filled.call(filled.stub.Explain, pb.ExplainRequest(search=request))
    searched = await filled.search("liver enzymes", limit=2)
    assert [one.chunk for one in told.response.evidence] == [one.chunk for one in searched.evidence]
    shown = [one for one in told.candidates if one.HasField("rank")]
    assert [one.chunk for one in shown] == [one.chunk for one in searched.evidence]
    for one, evidence in zip(shown, searched.evidence, strict=True):
        assert one.dense.score == pytest.approx(evidence.scores.dense)
        assert one.reranked.score == pytest.approx(evidence.scores.rerank, abs=1e-4)
        assert evidence.text.startswith(one.excerpt)
    assert sorted(one.fused.rank for one in told.candidates) == list(range(1, len(told.candidates) + 1))
    assert {one.dropped for one in told.candidates if not one.HasField("rank")} <= {
        pb.DropReason.DROP_REASON_LIMIT,
        pb.DropReason.DROP_REASON_SAME_DOCUMENT,
    }
    assert len(told.candidates) > 2
    assert {term.term for term in told.queries[0].terms} == {"liver", "enzym"}
    assert (told.fusion, told.dense_weight) == (pb.FusionMethod.FUSION_METHOD_RELATIVE, 0.2)


async def test_explain_names_nothing_that_the_reader_may_not_read(client: RetrieverClient) -> None:
    await client.put("seen", "# Seen\n\nA zebra stands here.\n")
    await client.put("hidden", "# Hidden\n\nA zebra stands in secret.\n", labels=["hr"])
    request = pb.SearchRequest(collection="collections/default", query="zebra")
    told = await client.call(client.stub.Explain, pb.ExplainRequest(search=request), VISITOR)
    assert [one.title_path[0] for one in told.candidates] == ["Seen"]
    assert (told.candidates[0].sparse.rank, told.candidates[0].dense.rank) == (1, 1)


async def test_explain_of_a_collection_that_is_not_there(filled: RetrieverClient) -> None:
    search = pb.SearchRequest(collection="collections/nothing", query="liver")
    assert await reason(filled.call(filled.stub.Explain, pb.ExplainRequest(search=search))) == "COLLECTION_NOT_FOUND"


async def test_a_search_chooses_its_fusion(filled: RetrieverClient) -> None:
    ranks = await filled.search("liver enzymes", rerank_depth=0, fusion=pb.FusionMethod.FUSION_METHOD_RANKS)
    assert max(one.scores.fused for one in ranks.evidence) == pytest.approx(1 / 61, rel=0.02)
    relative = await filled.search("liver enzymes", rerank_depth=0)
    assert max(one.scores.fused for one in relative.evidence) > 0.5


async def test_evidence_fits_a_token_budget_and_stays_byte_exact(client: RetrieverClient) -> None:
    filler = " ".join(f"Sentence number {number} says little about anything." for number in range(20))
    text = f"# Oils\n\n{filler} Epidiolex contains sesame oil as its base. {filler}\n"
    await client.put("oils", text, source_uri="oils.md")
    whole = await client.search("Which oil is the base of Epidiolex?")
    assert not whole.HasField("compression")
    found = await client.search("Which oil is the base of Epidiolex?", max_tokens=80)
    made = found.compression
    assert made.tokens_after <= 80 < made.tokens_before
    assert [one.evidence for one in made.passages] == [one.name for one in found.evidence]
    assert made.passages[0].header.startswith("[Oils | oils.md | 20")
    best = found.evidence[0]
    assert "Epidiolex contains sesame oil as its base." in best.text
    chunk = next(one for one in whole.evidence if one.chunk == best.chunk)
    data, first = chunk.text.encode(), chunk.spans[0].start
    assert b"".join(data[span.start - first : span.end - first] for span in best.spans).decode() == best.text


async def test_a_search_says_what_it_searched_in_the_end(filled: RetrieverClient) -> None:
    history = [Utterance(role=Role.ROLE_USER, text="Tell me about hemp")]
    found = await filled.search("When is it cut?", history=history)
    assert found.searched.text == "When is hemp cut?"
    assert [one.kind for one in found.searched.rewrites] == [RewriteKind.REWRITE_KIND_HISTORY]
    alone = await filled.search("When is it cut?", history=history, without=[RewriteKind.REWRITE_KIND_HISTORY])
    assert (alone.searched.text, list(alone.searched.rewrites)) == ("When is it cut?", [])
    subject = await filled.search("How tall does it grow?", subject="hemp")
    assert subject.searched.text == "How tall does hemp grow?"
    spelt = await filled.search("Which liver enzimes were raised?")
    assert spelt.searched.text == "Which liver enzymes were raised?"
    both = await filled.search("Which enzymes break it down in the liver and when is hemp cut?")
    assert len(both.searched.parts) == 2
    assert {one.document.rpartition("/")[2] for one in both.evidence[:2]} == {"liver", "hemp"}


async def test_no_word_of_a_hidden_document_is_shown_by_spelling(client: RetrieverClient) -> None:
    await client.put("seen", "# Seen\n\nThe budget of the year is public.\n")
    await client.put("hidden", "# Hidden\n\nThe merger with Xylophonics is planned.\n", labels=["hr"])
    found = await client.search("When is the merger with Xylophonic?", VISITOR)
    assert found.searched.text == "When is the merger with Xylophonic?"
