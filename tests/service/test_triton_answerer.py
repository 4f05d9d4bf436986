"""The `answerer` model through real Triton: messages, byte ranges, abstention, choice of sentences, limits, cancellation."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import random
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, cast

import numpy as np
import pytest
import tritonclient.grpc as triton
from ragmesh_models import identity

from services.mesh.triton import TritonClient
from tests.service.triton_calls import Message, answer, answerer_inputs, bytes_input
from tests.service.triton_fixture import REPOSITORY, RunningTriton, triton_server

__all__ = ["triton_server"]

PASSAGES: list[str | bytes] = [
    "# Café Müller\n\nThe café — the oldest of Zürich’s “Kaffeehäuser” — opened in 1911. "
    "It was founded by Élodie Müller, who sold pralinés. Today it has 42 seats.\n\n- Opening hours\n- Menu\n",
    "The Scottish Parliament is the national legislature of Scotland. It meets in the Holyrood area of Edinburgh. "
    "The Parliament has 129 members, who are elected for five years.",
    "Photosynthesis converts light energy into chemical energy. "
    "Plants carry it out in their chloroplasts because these hold chlorophyll.",
]
TITLES = ["Zürich > Cafés > Café Müller", "Scottish Parliament", "Botany > Photosynthesis"]


def ask(server: RunningTriton, question: str, most: int = 3) -> list[Message]:
    messages, error = answer(server.grpc, answerer_inputs(question, PASSAGES, TITLES, most))
    assert error == ""
    return messages


def quoted(message: Message, which: str = "sentence") -> str:
    raw = PASSAGES[message.passage]
    assert isinstance(raw, str)
    start, end = getattr(message, which)
    return raw.encode()[start:end].decode()


def test_a_decision_comes_first_then_sentences_in_bytes(triton_server: RunningTriton) -> None:
    messages = ask(triton_server, "How many members does the Scottish Parliament have?")
    assert [message.kind for message in messages[:2]] == ["decision", "sentence"]
    decision, best = messages[0], messages[1]
    assert decision.score >= decision.threshold
    assert decision.sentence == (-1, -1)
    assert decision.shown
    assert best.passage == 1
    assert best.shown
    assert quoted(best) == "The Parliament has 129 members, who are elected for five years."
    assert all(0 <= message.score <= 1 and message.threshold == decision.threshold for message in messages)


def test_offsets_count_bytes_in_non_ascii_text(triton_server: RunningTriton) -> None:
    messages = ask(triton_server, "When did the oldest café of Zürich open?")
    best = next(message for message in messages if message.kind == "sentence")
    assert quoted(best) == "The café — the oldest of Zürich’s “Kaffeehäuser” — opened in 1911."
    assert quoted(best, "span") == "1911"
    assert best.sentence[0] <= best.span[0] < best.span[1] <= best.sentence[1]
    assert 0 < best.span_score < 1
    assert 0 < best.span_threshold < 1


def test_the_decision_carries_the_best_short_answer_of_all_passages(triton_server: RunningTriton) -> None:
    decision = ask(triton_server, "How many members does the Scottish Parliament have?")[0]
    assert (decision.passage, quoted(decision, "span")) == (1, "129")
    assert 0 < decision.span_score < 1


def test_what_is_not_shown_comes_after_what_is(triton_server: RunningTriton) -> None:
    messages = [message for message in ask(triton_server, "How many members does it have?", most=16) if message.kind == "sentence"]
    shown = [message.shown for message in messages]
    assert shown == sorted(shown, reverse=True)
    assert (shown[0], shown[-1]) == (True, False)
    assert len({(message.passage, message.sentence) for message in messages}) == len(messages)


@pytest.mark.parametrize(
    ("engine", "sentence", "answerability"),
    [
        ("overlap", "The Parliament has 129 members, who are elected for five years.", pytest.approx(0.5, abs=0.5)),
        ("first", "The café — the oldest of Zürich’s “Kaffeehäuser” — opened in 1911.", 1.0),
    ],
)
def test_a_caller_names_the_engine(triton_server: RunningTriton, engine: str, sentence: str, answerability: float) -> None:
    inputs = answerer_inputs("How many members has Parliament?", PASSAGES, TITLES, 1, engine=engine)
    messages, error = answer(triton_server.grpc, inputs)
    assert error == ""
    assert [message.kind for message in messages] == ["decision", "sentence"]
    assert quoted(messages[1]) == sentence
    assert messages[0].score == answerability
    assert all(message.span_score < message.span_threshold for message in messages), "an untrained engine is never sure"


def test_the_best_engine_that_is_installed_answers_unless_named(triton_server: RunningTriton) -> None:
    answers = [
        answer(triton_server.grpc, answerer_inputs("What is photosynthesis?", PASSAGES, TITLES, engine=engine))[0]
        for engine in (None, "reader")
    ]
    assert answers[0] == answers[1]


def test_a_sentence_that_leans_on_the_one_before_brings_it_along(triton_server: RunningTriton) -> None:
    messages = ask(triton_server, "Who was the founder, the seller of pralinés?")[1:]
    assert [message.kind for message in messages[:2]] == ["lead", "sentence"]
    assert quoted(messages[0]).startswith("The café")
    assert quoted(messages[1]).startswith("It was founded by Élodie Müller")
    alone = [
        message
        for message in ask(triton_server, "Who was the founder, the seller of pralinés?", most=1)
        if message.kind == "sentence"
    ]
    assert [quoted(message)[:22] for message in alone] == ["It was founded by Élod"]


@pytest.mark.parametrize(
    "question",
    ["What is the capital of Mongolia?", "Who won the 1998 World Cup?", "How do I reset the password of my home router?"],
)
def test_a_question_about_something_else_is_below_the_threshold(triton_server: RunningTriton, question: str) -> None:
    messages = ask(triton_server, question)
    assert messages[0].score < messages[0].threshold
    assert any(message.kind == "sentence" for message in messages), "the sentences are sent all the same"


def test_headings_and_bare_bullets_are_never_chosen(triton_server: RunningTriton) -> None:
    for question in ("What is Café Müller?", "What are the opening hours?", "What is on the menu?"):
        for message in ask(triton_server, question, most=8):
            if message.kind == "sentence":
                assert quoted(message) not in ("# Café Müller", "Opening hours", "Menu")


def test_the_decision_carries_the_reference(triton_server: RunningTriton) -> None:
    reference = ask(triton_server, "What is photosynthesis?")[0].model_ref
    assert reference is not None
    folder = REPOSITORY / "answerer" / "1"
    scorer = ("ranker.onnx", "span.onnx", "answerer.json", "idf.bin", "definitions.json")
    files = [folder / name for name in (*scorer, "reader.onnx", "reader.json", "stems.txt")]
    assert reference["weights_sha256"] == identity.weights_sha256(files)
    assert reference["tokenizer_sha256"] == identity.file_sha256(REPOSITORY / identity.TOKENIZER_FILE)


def test_no_passages_is_an_abstention(triton_server: RunningTriton) -> None:
    inputs = answerer_inputs("What is photosynthesis?", [], [], scores=np.zeros((0, 3)))
    messages, error = answer(triton_server.grpc, inputs)
    assert error == ""
    assert [(message.kind, message.score) for message in messages] == [("decision", 0.0)]


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (answerer_inputs("q", ["p"] * 65), "at most 64 are allowed"),
        (answerer_inputs("q", ["x" * 40_000, "y" * 40_000]), "exceed 65536 bytes"),
        (answerer_inputs("q" * 9_000, ["p"]), "at most 8192 are allowed"),
        (answerer_inputs("q", ["p"], ["a", "b"]), "1 passages but 2 titles"),
        (answerer_inputs("q", ["p"], scores=np.zeros((2, 3))), "retrieval_scores must be 1 x 3"),
        (answerer_inputs("q", ["p"], most=0), "max_sentences must be one number from 1 to 16"),
        (answerer_inputs(b"\xff", ["p"]), "question is not valid UTF-8"),
        (answerer_inputs("q", ["p"], engine="oracle"), "engine must be one of reader, lexical, overlap, first"),
        (answerer_inputs("q", ["p"], engine=b"\xff"), "engine must be one of"),
    ],
)
def test_what_is_wrong_is_said_in_the_stream(triton_server: RunningTriton, inputs: list[Any], said: str) -> None:
    messages, error = answer(triton_server.grpc, inputs)
    assert messages == []
    assert said in error
    assert ask(triton_server, "What is photosynthesis?"), "the model still answers"


def test_text_at_the_limit_is_answered_in_time(triton_server: RunningTriton) -> None:
    """Nothing in the splitter or the features is quadratic in what a caller may send."""
    for filler in ("a. " * 21_000, "word " * 13_000, "| a | b |\n" * 6_000, "x" * 65_000):
        began = time.monotonic()
        messages, error = answer(triton_server.grpc, answerer_inputs("What is a word?", [filler]))
        assert error == ""
        assert messages[0].kind == "decision"
        assert time.monotonic() - began < 5


def test_cancelling_stops_the_work(triton_server: RunningTriton) -> None:
    """Long requests are cancelled at once; a request behind them is answered long before they could all have been read."""
    heavy = answerer_inputs(
        "How many members does the parliament have?", [f"{number} members sat in parliament. " * 32 for number in range(60)]
    )
    began = time.monotonic()
    messages, _ = answer(triton_server.grpc, heavy)
    whole = time.monotonic() - began
    assert messages[0].kind == "decision"
    found: queue.Queue[tuple[Any, Any]] = queue.Queue()
    count = 24
    clients = [triton.InferenceServerClient(triton_server.grpc) for _ in range(count)]
    for number, client in enumerate(clients):
        client.start_stream(callback=lambda result, error: found.put((result, error)))
        client.async_stream_infer("answerer", heavy, request_id=f"heavy-{number}")
        client.async_stream_infer("answerer", [bytes_input("cancel", [f"heavy-{number}"], [1])])
    began = time.monotonic()
    ask(triton_server, "What is photosynthesis?")
    waited = time.monotonic() - began
    for client in clients:
        client.stop_stream()
        client.close()
    assert waited < whole * count / 2, (
        f"one request takes {whole:.2f} s, the next waited {waited:.2f} s behind {count} cancelled ones"
    )


async def test_the_server_outlives_callers_who_leave_at_any_moment(triton_server: RunningTriton) -> None:
    """Cut streams make Triton's gRPC server crash, once in some hundred times; streams that are stopped in words do not."""
    client = TritonClient(triton_server.grpc)
    inputs = {
        "question": np.array([b"What is photosynthesis?"], dtype=np.object_),
        "passages": np.array([str(PASSAGES[2]).encode()], dtype=np.object_),
        "titles": np.array([b""], dtype=np.object_),
        "retrieval_scores": np.full((1, 3), np.nan, dtype=np.float32),
        "max_sentences": np.array([3], dtype=np.int32),
    }
    chance = random.Random(7)

    async def leave() -> None:
        stream = cast(AsyncGenerator[Any, None], client.stream("answerer", inputs, ["kind"], idle_timeout=20, timeout=20))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(chance.random() * 0.02), aclosing(stream) as responses:
                async for _ in responses:
                    if chance.random() < 0.5:
                        break

    for _ in range(100):
        await asyncio.gather(*(leave() for _ in range(4)))
    await client.close()
    assert ask(triton_server, "What is photosynthesis?")[0].kind == "decision"
