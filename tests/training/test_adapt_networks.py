"""A small real adaptation, and weights that come back from shipped graphs; in the training environment (`make test-train`)."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from ragmesh_models.embedding import Embedder
from ragmesh_models.features import NAMES
from ragmesh_models.runtime import open_graph

from training import MODEL_REPOSITORY, ROOT, adapt
from training.adapt_grading import shipped, tokenizer
from training.adapt_weights import WeightsError, copied, load_embedder, load_network, mixed
from training.answerer_model import ListwiseAnswerer, SingleList
from training.embedder_recipe import export

# The recipes use the exporter whose operators every runtime here takes; torch prefers its newer one and says so, twice.
pytestmark = [
    pytest.mark.filterwarnings("ignore:You are using the legacy TorchScript-based ONNX export:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
    pytest.mark.filterwarnings("ignore:The feature will be removed:DeprecationWarning"),
    pytest.mark.timeout(600),
]

DOCUMENTS = ["evidence/cbd-and-addiction.md", "evidence/cbd-and-anxiety.md", "evidence/cbd-and-arthritis.md"]
DOCUMENTS += ["safety/side-effects-of-cbd.md", "products/carrier-oils.md", "law/travelling-with-cbd.md"]


def test_the_answerer_comes_back_from_its_graph() -> None:
    graph = shipped().ranker
    model = ListwiseAnswerer().eval()
    load_network(model, graph)
    features = np.random.default_rng(7).normal(size=(9, len(NAMES))).astype(np.float32)
    served = open_graph(graph).run({"features": features, "kind": np.array([3], dtype=np.int64)})
    with torch.no_grad():
        scores, support, answerable = SingleList(model)(torch.from_numpy(features), torch.tensor([3]))
    for name, value in (("scores", scores), ("support", support), ("answerable", answerable)):
        np.testing.assert_allclose(value.numpy(), served[name], atol=1e-3, rtol=1e-4)


def test_the_embedder_comes_back_from_its_graph(tmp_path: Path) -> None:
    model = load_embedder(shipped().embedder)
    export(model, tmp_path / "again.onnx")
    texts = ["How long does a CBD gummy take?", "The half-life of cannabidiol in plasma was 56 to 61 hours."]
    before, after = (
        Embedder(path, tokenizer())(texts, ["query", "passage"]) for path in (shipped().embedder, tmp_path / "again.onnx")
    )
    assert (before * after).sum(1).min() > 0.9999


def test_a_graph_of_another_network_is_refused() -> None:
    with pytest.raises(WeightsError):
        load_network(ListwiseAnswerer(), shipped().embedder)
    with pytest.raises(WeightsError):
        load_embedder(shipped().ranker)


def test_weights_are_mixed_between_two_ends() -> None:
    model = ListwiseAnswerer()
    before = copied(model)
    torch.nn.init.ones_(model.score.weight)
    after = copied(model)
    halfway = mixed(before, after, 0.5)["score.weight"]
    torch.testing.assert_close(halfway, (before["score.weight"] + 1) / 2)
    torch.testing.assert_close(mixed(before, after, 0.0)["score.weight"], before["score.weight"])


def test_six_documents_are_learned_from_and_graded(tmp_path: Path) -> None:
    own, out = tmp_path / "own", tmp_path / "out"
    for name in DOCUMENTS:
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / "corpus" / "chatcbd" / name, own / name)
    out.mkdir()
    report = adapt.run(own, out, [ROOT / "goldens" / "chatcbd-a.jsonl"])
    assert report == json.loads((out / "adapted.json").read_text(encoding="utf-8"))
    assert report["documents"] == 6
    assert report["held_out_documents"] == 2
    assert report["questions"]["train"] > report["questions"]["test"] > 0
    assert {"embedder", "answerer"} <= {row["model"] for row in report["models"]}
    for row in report["models"]:
        assert row["low"] <= row["after"] - row["before"] <= row["high"]
        assert row["promoted"] <= (row["better"] >= adapt.SURE)
        promoted = [path for path in report["files"] if path.startswith(row["model"] + "/")]
        assert bool(promoted) == row["promoted"]
        assert (out / row["model"]).exists() == row["promoted"]
    for path, digests in report["files"].items():
        for folder, digest in ((out, digests["sha256"]), (MODEL_REPOSITORY, digests["over"])):
            assert hashlib.sha256((folder / path).read_bytes()).hexdigest() == digest
