"""What the models feed their graphs at the ends of what a request may hold: names, types and shapes that engines are compiled for.

Nothing is compiled here. The models run as they are, in ONNX Runtime; each run notes what was fed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from ragmesh_engines import configs
from ragmesh_engines.profiles import EngineError, graphs_of, read_graph
from ragmesh_models.answering import MAX_PASSAGES, MAX_TEXT_BYTES, Answerer
from ragmesh_models.embedding import MAX_TEXT_CHARS, Embedder
from ragmesh_models.identity import TOKENIZER_FILE
from ragmesh_models.intents import MAX_CHARS, IntentReader
from ragmesh_models.ranking import Ranker
from ragmesh_models.runtime import OnnxGraph
from ragmesh_models.tokens import TextTokenizer

TRITON = Path(__file__).resolve().parents[2] / "deploy" / "triton"
REPOSITORY = TRITON / "model_repository"
GRAPHS = sorted(path.relative_to(REPOSITORY) for path in REPOSITORY.glob("*/*/*.onnx"))
Feeds = Mapping[str, NDArray[Any]]
# As many different words as fit: every stem is a row of a table, every name and number a span.
WORDS = " ".join(f"Mr Q{n}x of {n} km." for n in range(2_000))
SENTENCES = "He ran. " * 2_000


def embed() -> None:
    embedder = Embedder(REPOSITORY / "embedder" / "1" / "embedder.onnx", TextTokenizer(REPOSITORY / TOKENIZER_FILE))
    largest = configs.read_config(REPOSITORY / "embedder" / "config.pbtxt").largest_batch
    embedder([WORDS[:MAX_TEXT_CHARS]] * largest, ["passage"] * largest)
    embedder([""], ["query"])


def answer() -> None:
    answerer = Answerer(REPOSITORY / "answerer" / "1")
    share = MAX_TEXT_BYTES // MAX_PASSAGES
    for question in ("Who ran 7 km?", "?"):
        for passages in ([text[:share]] * MAX_PASSAGES for text in (WORDS, SENTENCES, "A")):
            reading = answerer.start(question)
            for text in passages:
                reading.add(text, "Of Mr Q7x")
            answerer.decide(reading, 16, "reader")
            answerer.decide(reading, 16, "lexical")
    for text in (WORDS[:MAX_TEXT_BYTES], "It ran 7 km."):
        reading = answerer.start("Who ran 7 km?")
        reading.add(text, "")
        answerer.decide(reading, 1, "reader")
        answerer.decide(reading, 1, "lexical")


def intend() -> None:
    reader = IntentReader(REPOSITORY / "intent" / "1")
    largest = configs.read_config(REPOSITORY / "intent" / "config.pbtxt").largest_batch
    long = "abcdefgh" * 3
    reader([" ".join([f"{long}{n}" for n in range(20)])[:MAX_CHARS], "hi", "", WORDS] * (largest // 4))
    reader(["?"])


def rerank() -> None:
    ranker = Ranker.open(REPOSITORY / "reranker" / "1")
    for texts in ([WORDS[:2_000]] * 100, ["A"] * 100, ["It ran 7 km."]):
        ranker("Who ran 7 km?", texts, [""] * len(texts), np.full((len(texts), 3), np.nan, np.float32), depth=100)


def verify() -> None:
    from ragmesh_models.verifying import MAX_BATCH, Verifier

    verifier = Verifier(REPOSITORY / "verifier" / "1")
    verifier([WORDS[:4_000]] * (MAX_BATCH + 1), [WORDS[:8_000]] * (MAX_BATCH + 1))
    verifier(["It."], [""])


DRIVEN: dict[str, Callable[[], None]] = {
    "embedder": embed,
    "answerer": answer,
    "intent": intend,
    "reranker": rerank,
    "verifier": verify,
}


@pytest.fixture(scope="module")
def fed() -> Iterator[dict[Path, list[Feeds]]]:
    """By graph: every feed of every model that is installed."""
    found: dict[Path, list[Feeds]] = {}
    paths: dict[int, Path] = {}
    load, run = OnnxGraph.__init__, OnnxGraph.run

    def note_load(self: OnnxGraph, path: Path, threads: int) -> None:
        load(self, path, threads)
        paths[id(self)] = path.relative_to(REPOSITORY)

    def note_run(self: OnnxGraph, feeds: Feeds) -> dict[str, NDArray[Any]]:
        found.setdefault(paths[id(self)], []).append(dict(feeds))
        return run(self, feeds)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(OnnxGraph, "__init__", note_load)
        patched.setattr(OnnxGraph, "run", note_run)
        for name in sorted({path.parts[0] for path in GRAPHS}):
            DRIVEN[name]()
        yield found


@pytest.mark.parametrize("path", GRAPHS, ids=str)
def test_what_a_model_feeds_is_what_its_engine_takes(path: Path, fed: dict[Path, list[Feeds]]) -> None:
    graph = read_graph(REPOSITORY / path)
    assert fed[path]
    for feeds in fed[path]:
        assert set(feeds) == {tensor.name for tensor in graph.inputs}
        for tensor in graph.inputs:
            array, profile = feeds[tensor.name], graph.declared.profiles.get(tensor.name)
            assert array.dtype == tensor.dtype, tensor.name
            if profile is None:
                assert array.shape == tensor.shape, tensor.name
            else:
                assert profile.holds(array.shape), f"{tensor.name}: {array.shape} is not in {profile}"
            if tensor.name in graph.declared.below:
                assert array.max(initial=-1) < graph.declared.below[tensor.name], tensor.name


@pytest.mark.parametrize("path", GRAPHS, ids=str)
def test_a_graph_fits_the_config_of_its_model(path: Path) -> None:
    configs.check_config(read_graph(REPOSITORY / path))


def test_the_repository_of_the_full_image_is_what_the_graphs_say(tmp_path: Path) -> None:
    """`make engines` writes it."""
    (tmp_path / "model_repository" / "gone").mkdir(parents=True)
    (tmp_path / "model_repository" / "gone" / "config.pbtxt").touch()
    configs.write_plans(list(graphs_of(REPOSITORY)), tmp_path)

    def files(folder: Path) -> dict[str, str]:
        return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}

    assert files(tmp_path) == files(TRITON / "gpu"), "make engines"
    for config in (TRITON / "gpu" / "model_repository").glob("*/config.pbtxt"):
        assert 'platform: "tensorrt_plan"' in config.read_text()
        assert f'name: "{config.parent.name}"' in config.read_text()


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The embedder in a repository of its own; gives the graph's path."""
    folder = tmp_path / "embedder" / "1"
    folder.mkdir(parents=True)
    for name in ("1/embedder.onnx", "1/engines.json", "config.pbtxt"):
        (tmp_path / "embedder" / name).write_bytes((REPOSITORY / "embedder" / name).read_bytes())
    return folder / "embedder.onnx"


def described(graph: Path, change: Callable[[dict[str, Any]], object]) -> None:
    file = graph.parent / "engines.json"
    told = json.loads(file.read_text())
    change(told[graph.name])
    file.write_text(json.dumps(told))


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (lambda told: told["inputs"].pop("ids"), r"ids: its shape \[-1, -1\] varies: give least, usual and most"),
        (lambda told: told["inputs"]["ids"].update(most=[1, 1]), "ids: least, usual and most must grow"),
        (lambda told: told["inputs"]["ids"].update(least=[0, 1]), "from 1"),
        (lambda told: told["inputs"]["ids"].update(most=[64]), r"\[64\] does not fit \[-1, -1\]"),
        (lambda told: told["inputs"]["kind"].pop("below"), "kind: an integer input must say `below`"),
        (lambda told: told["inputs"].update(mask={}), "the graph has no input mask"),
        (lambda told: told.update(served=["vector"]), "the graph has no output vector"),
        (lambda told: told.update(precision="int8"), "precision must be fp16 or fp32"),
        (lambda told: told.update(tolerence=1), "tolerence means nothing here"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(copied: Path, change: Callable[[dict[str, Any]], object], wanted: str) -> None:
    described(copied, change)
    with pytest.raises(EngineError, match=wanted):
        read_graph(copied)


@pytest.mark.parametrize(
    ("line", "other", "wanted"),
    [
        ("max_batch_size: 64", "max_batch_size: 128", "ids takes 64 rows, but config.pbtxt lets Triton batch 128"),
        ("dims: [ 256 ]", "dims: [ 384 ]", r"embedding is float32 \[256\], config.pbtxt has TYPE_FP32 \[384\]"),
        ('"embedding" data_type: TYPE_FP32', '"embedding" data_type: TYPE_FP16', "config.pbtxt has TYPE_FP16"),
        ('"embedding"', '"vector"', "embedding is no output of config.pbtxt"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(copied: Path, line: str, other: str, wanted: str) -> None:
    config = copied.parent.parent / "config.pbtxt"
    text = config.read_text()
    assert line in text
    config.write_text(text.replace(line, other))
    with pytest.raises(EngineError, match=wanted):
        configs.check_config(read_graph(copied))
