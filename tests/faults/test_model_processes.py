"""A process of a model that is killed in a real Triton: turns in between end in a typed way, and the model comes back by itself."""

from __future__ import annotations

import asyncio
import shutil
import signal
from pathlib import Path

import pytest
from ragmesh.gateway.v1 import turn_pb2 as t

from cli.documents.sample import load_sample
from cli.errors import CliError
from cli.parts import roster
from cli.parts.model_keeper import model_processes
from cli.parts.supervisor import Mesh, PartEvent
from tests.edge.conftest import until
from tests.faults.asking import REASONS, ask, until_answered

MODELS = ("answerer", "reranker", "embedder", "tokenizer", "intent", "verifier")
SECONDS = 60.0


async def until_whole(mesh: Mesh) -> None:
    """Asks until an answer comes that nothing was left out of."""

    async def whole() -> bool:
        return not (await until_answered(mesh, SECONDS)).degradations

    await until(whole, "the mesh answers, and something is missing still", SECONDS)


async def until_said(events: list[PartEvent], *texts: str) -> None:
    """Waits until each of these was said."""

    async def said() -> bool:
        return all(any(text in event.text for event in events) for text in texts)

    await until(said, f"not said: {texts}", SECONDS)


async def test_models_whose_processes_are_killed_are_loaded_again_and_questions_answered(tmp_path: Path) -> None:
    events: list[PartEvent] = []
    async with Mesh.start(tmp_path, public_port=0, local_port=0, on_event=events.append) as mesh:
        await load_sample(mesh.grpc_target)
        triton = mesh.pids["triton"]
        before = model_processes(triton)
        assert set(before) == set(MODELS)
        for model in MODELS:
            events.clear()
            before[model].send_signal(signal.SIGKILL)
            await until_answered(mesh, SECONDS)
            await until_said(events, f"the process of the model {model} ended", f"the model {model} is loaded again")
            await until_whole(mesh)
            assert {event.kind for event in events} == {"mending"}
        await mesh.wait_ready(timeout=SECONDS)
        after = model_processes(triton)
        assert mesh.pids["triton"] == triton
        assert set(after) == set(MODELS)
        assert not {process.pid for process in before.values()} & {process.pid for process in after.values()}
        log = (mesh.log_dir / "triton.log").read_text()
    assert all(f"supervisor: the model {model} is loaded again" in log for model in MODELS)


async def test_turns_under_way_when_the_answerers_process_dies_end_answered_or_with_a_reason_to_ask_again(tmp_path: Path) -> None:
    async with Mesh.start(tmp_path, public_port=0, local_port=0) as mesh:
        await load_sample(mesh.grpc_target)
        turns = [asyncio.create_task(ask(mesh)) for _ in range(8)]
        await turns[0]  # the others wait for the same reader now
        model_processes(mesh.pids["triton"])["answerer"].send_signal(signal.SIGKILL)
        for turn in await asyncio.gather(*turns):
            finished = turn.finished
            assert finished.outcome in (t.OUTCOME_ANSWERED, t.OUTCOME_FAILED)
            assert finished.outcome == t.OUTCOME_ANSWERED or (finished.failure.retryable and finished.failure.reason in REASONS)
        # The reranker's process lived on, and asks the reader of the new one.
        await until_whole(mesh)


@pytest.fixture
def only_tokenizer(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The served repository is a copy with the tokenizer alone; its `model.py`, to be broken."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(roster.MODEL_REPOSITORY / "tokenizer", folder / "repository" / "tokenizer")
    (folder / "lib").symlink_to(roster.MODEL_REPOSITORY.parent / "lib")
    monkeypatch.setattr(roster, "MODEL_REPOSITORY", folder / "repository")
    return folder / "repository" / "tokenizer" / "1" / "model.py"


async def test_where_a_model_cannot_be_loaded_again_all_of_triton_is_started_again_until_it_is_given_up(
    tmp_path: Path, only_tokenizer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.parts.supervisor.MAX_DEATHS", 2)
    events: list[PartEvent] = []
    async with Mesh.start(tmp_path, parts=("triton",), public_port=0, local_port=0, on_event=events.append) as mesh:
        only_tokenizer.write_text("raise RuntimeError('broken on purpose')")
        model_processes(mesh.pids["triton"])["tokenizer"].send_signal(signal.SIGKILL)
        async with asyncio.timeout(SECONDS):
            with pytest.raises(CliError, match=r"triton .* 2 times within 60 s"):
                await mesh.wait_failed()
    texts = [event.text for event in events if event.kind == "mending"]
    assert texts[0] == "the process of the model tokenizer ended; loading the model again in 0.1 s"
    assert texts[1].startswith("the model tokenizer cannot be loaded: ")
    assert texts[1].endswith("starting all of triton again")
    assert len(texts) == 2


async def test_a_triton_that_is_killed_or_ends_is_started_again_and_its_models_are_not_mended(
    tmp_path: Path, only_tokenizer: Path
) -> None:
    events: list[PartEvent] = []
    async with Mesh.start(tmp_path, parts=("triton",), public_port=0, local_port=0, on_event=events.append) as mesh:
        assert only_tokenizer.is_file()
        for number in (signal.SIGKILL, signal.SIGTERM):
            before = mesh.pids["triton"]
            mesh.kill("triton", number)

            async def again(before: int = before) -> bool:
                return mesh.pids.get("triton", before) != before

            await until(again, "Triton was not started again", SECONDS)
            await mesh.wait_ready("triton", timeout=SECONDS)
            assert set(model_processes(mesh.pids["triton"])) == {"tokenizer"}
    assert [event.kind for event in events if event.kind in ("died", "mending")] == ["died", "died"]
