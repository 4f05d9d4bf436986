"""The generator when its models fail: silence, death and nonsense become typed errors; a caller who leaves stops the model."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import grpc
import pytest
from ragmesh.generator.v1 import generator_service_pb2 as pb

from tests.service.generator.generator_fixture import TIMEOUT, RunningGenerator, asked, drafted, failure, generator, kinds, text_of
from tests.service.generator.scripted_triton import END, NONSENSE, Step, death, error, picked, scripted_triton, silence

QUESTION = asked("How many members does the Parliament have?", "parliament")
IDLE = 0.3
DECISION = picked("decision")
SENTENCE = picked("sentence", sentence=(0, 68))


async def received_until_failure(running: RunningGenerator) -> tuple[list[str], grpc.aio.AioRpcError]:
    """Kinds of the steps that came before the call failed."""
    steps: list[pb.StreamGenerateResponse] = []
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        async for step in running.stub.StreamGenerate(QUESTION, timeout=TIMEOUT):
            steps.append(step)
    return kinds(steps), failed.value


async def test_the_script_itself_drafts_an_answer(tmp_path: Path) -> None:
    async with scripted_triton(DECISION, SENTENCE, END) as triton, generator(tmp_path, triton.target) as running:
        steps = await drafted(running, QUESTION)
    assert kinds(steps) == ["decision", "text", "segment_end", "finished"]
    assert text_of(steps) == "The Scottish Parliament is the national legislature of Scotland. It "
    assert steps[-1].finished.usage.input_tokens == 6


@pytest.mark.parametrize(
    ("script", "before"),
    [
        ((silence,), []),
        ((DECISION, silence), ["decision"]),
        ((DECISION, SENTENCE, silence), ["decision", "text", "segment_end"]),
        ((error("the model is not ready"),), []),
        ((DECISION, SENTENCE, error("out of memory")), ["decision", "text", "segment_end"]),
        ((death,), []),
        ((DECISION, SENTENCE, death), ["decision", "text", "segment_end"]),
        ((END,), []),
        ((NONSENSE,), []),
        ((DECISION, NONSENSE), ["decision"]),
        ((picked("sentence"), END), []),
        ((DECISION, picked("sentence", passage=7), END), ["decision"]),
        ((DECISION, picked("sentence", sentence=(0, 9999)), END), ["decision"]),
        ((DECISION, picked("sentence", sentence=(5, 5)), END), ["decision"]),
    ],
    ids=[
        "silent from the start",
        "silent after the decision",
        "silent after a sentence",
        "error at once",
        "error after a sentence",
        "dead at once",
        "dead after a sentence",
        "no decision",
        "nothing in it",
        "nothing in it after the decision",
        "a sentence first",
        "an unknown passage",
        "a range past the passage",
        "an empty range",
    ],
)
async def test_a_model_that_fails_is_a_typed_error_soon(tmp_path: Path, script: tuple[Step, ...], before: list[str]) -> None:
    async with scripted_triton(*script) as triton, generator(tmp_path, triton.target, idle_seconds=IDLE) as running:
        began = time.monotonic()
        steps, failed = await received_until_failure(running)
        assert time.monotonic() - began < 10
    assert steps == before
    assert failed.code() is grpc.StatusCode.UNAVAILABLE
    assert (await failure(_raise(failed))).reason == "MODEL_UNAVAILABLE"
    assert "out of memory" not in str(failed.details())  # a server's own words stay inside


async def _raise(failed: grpc.aio.AioRpcError) -> None:
    raise failed


async def test_no_server_at_all_is_a_typed_error(tmp_path: Path) -> None:
    async with scripted_triton() as triton:
        target = triton.target
    async with generator(tmp_path, target) as running:
        assert (await failure(drafted(running, QUESTION))).reason == "MODEL_UNAVAILABLE"
        assert (await failure(running.stub.GetModel(pb.GetModelRequest(), timeout=TIMEOUT))).reason == "MODEL_UNAVAILABLE"
        counting = running.stub.CountTokens(pb.CountTokensRequest(texts=["x"]), timeout=TIMEOUT)
        assert (await failure(counting)).reason == "MODEL_UNAVAILABLE"


async def test_a_deadline_ends_a_silent_model_before_its_idle_time(tmp_path: Path) -> None:
    async with scripted_triton(DECISION, silence) as triton, generator(tmp_path, triton.target, idle_seconds=30) as running:
        call = running.stub.StreamGenerate(QUESTION, timeout=0.5)
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            async for _ in call:
                pass
        assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await asyncio.wait_for(triton.cancelled.wait(), TIMEOUT)


@pytest.mark.parametrize("script", [(DECISION, silence), (DECISION, SENTENCE, silence)], ids=["after the decision", "mid-draft"])
async def test_a_caller_who_leaves_stops_the_model(tmp_path: Path, script: tuple[Step, ...]) -> None:
    async with scripted_triton(*script) as triton, generator(tmp_path, triton.target, idle_seconds=30) as running:
        call = running.stub.StreamGenerate(QUESTION, timeout=TIMEOUT)
        assert (await call.read()).WhichOneof("step") == "decision"
        await asyncio.wait_for(triton.silent.wait(), TIMEOUT)
        assert not triton.cancelled.is_set()
        call.cancel()
        await asyncio.wait_for(triton.cancelled.wait(), TIMEOUT)
        assert not triton.cut.is_set()


async def test_a_sentence_that_is_not_to_be_shown_ends_the_draft_and_stops_the_model(tmp_path: Path) -> None:
    script = (DECISION, SENTENCE, picked("sentence", sentence=(68, 110), shown=False), silence)
    async with scripted_triton(*script) as triton, generator(tmp_path, triton.target, idle_seconds=30) as running:
        steps = await drafted(running, QUESTION)
        assert kinds(steps) == ["decision", "text", "segment_end", "finished"]
        await asyncio.wait_for(triton.cancelled.wait(), TIMEOUT)


@pytest.mark.parametrize(("score", "is_lit"), [(0.49, False), (0.5, True)])
async def test_a_short_answer_is_lit_from_its_threshold_on(tmp_path: Path, score: float, is_lit: bool) -> None:
    script = (DECISION, picked("sentence", sentence=(0, 68), span_score=score), END)
    async with scripted_triton(*script) as triton, generator(tmp_path, triton.target) as running:
        steps = await drafted(running, QUESTION)
    assert steps[2].segment_end.claims[0].HasField("highlight") is is_lit


async def test_an_abstention_stops_the_model(tmp_path: Path) -> None:
    script = (picked("decision", score=0.1), silence)
    async with scripted_triton(*script) as triton, generator(tmp_path, triton.target, idle_seconds=30) as running:
        steps = await drafted(running, QUESTION)
        assert steps[0].decision.kind == pb.DECISION_KIND_ABSTAIN
        assert steps[2].segment_end.template_id == "abstain"
        await asyncio.wait_for(triton.cancelled.wait(), TIMEOUT)


async def test_a_dead_tokenizer_costs_the_count_and_nothing_else(tmp_path: Path) -> None:
    script = (DECISION, SENTENCE, END)
    async with scripted_triton(*script, infer_fails=True) as triton, generator(tmp_path, triton.target) as running:
        steps = await drafted(running, QUESTION)
        assert kinds(steps) == ["decision", "text", "segment_end", "finished"]
        usage = steps[-1].finished.usage
        assert (usage.input_tokens, usage.output_tokens) == (0, 0)
        assert not await running.server.ready()


async def test_models_of_different_tokenizers_are_not_ready(tmp_path: Path) -> None:
    async with scripted_triton(answerer_tokenizer="c" * 64) as triton, generator(tmp_path, triton.target) as running:
        assert not await running.server.ready()
        triton.answerer_tokenizer = "b" * 64
        assert await running.server.ready()


async def test_readiness_follows_the_models(tmp_path: Path) -> None:
    async with scripted_triton() as triton, generator(tmp_path, triton.target, probe_seconds=0.3) as running:
        assert await running.server.ready()
        await triton.kill()
        assert not await running.server.ready()
