"""The trace of a search: which spans there are, under which others, and that none of them holds anybody's words."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.mesh import telemetry
from tests.service.retriever.retriever_fixture import RetrieverClient


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(telemetry, "_active", SimpleNamespace(tracer=provider.get_tracer("ragmesh")))
    return exporter


def named(spans: tuple[ReadableSpan, ...], name: str) -> ReadableSpan:
    (found,) = [span for span in spans if span.name == name]
    return found


def is_child(child: ReadableSpan, parent: ReadableSpan) -> bool:
    return child.parent is not None and parent.context is not None and child.parent.span_id == parent.context.span_id


async def test_legs_inference_and_stores_stand_under_the_search(client: RetrieverClient, spans: InMemorySpanExporter) -> None:
    await client.put("zebra", "# Zebra\n\nThe zebra eats grass.\n")
    spans.clear()
    assert (await client.search("zebra grass")).evidence
    found = spans.get_finished_spans()
    search = named(found, "retriever.search")
    dense, sparse = named(found, "retriever.dense"), named(found, "retriever.sparse")
    assert is_child(dense, search)
    assert is_child(sparse, search)
    assert is_child(named(found, "triton embedder"), dense)
    rerank = named(found, "retriever.rerank")
    assert is_child(rerank, search)
    assert all(is_child(span, rerank) for span in found if span.name == "triton reranker")
    assert any(span.name == "triton reranker" for span in found)
    assert is_child(named(found, "store index dense"), dense)
    assert is_child(named(found, "store index sparse"), sparse)
    stores = [span for span in found if "ragmesh.store" in (span.attributes or {})]
    assert {(span.attributes or {})["ragmesh.store"] for span in stores} == {"documents", "index"}
    assert all(span.name.startswith("store ") for span in stores)
    assert all(is_child(span, search) for span in stores if span.name == "store documents read")


async def test_no_span_holds_words(client: RetrieverClient, spans: InMemorySpanExporter) -> None:
    await client.put("zebra", "# Zebra\n\nThe zebra eats grass.\n")
    await client.search("zebra grass")
    told = " ".join(span.to_json() for span in spans.get_finished_spans()).lower()
    assert "retriever.ingest" in told
    assert "grass" not in told
    assert "eats" not in told
