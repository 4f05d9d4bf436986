"""Which runtime a graph runs in, why another was not taken, and what a model says about it."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ragmesh_models import cuda, runtime, tensorrt_graph
from ragmesh_models.engine_files import EngineEntry, EngineUnavailableError, Manifest, Profile, Tensor, find_engine
from ragmesh_models.identity import file_sha256, model_ref
from ragmesh_models.onnx_weights import weights_precision

from tests.unit.host_gpu import Diagnostics, HostDriver, host_tensorrt

REPOSITORY = Path(__file__).resolve().parents[2] / "deploy" / "triton" / "model_repository"
SPANS = REPOSITORY / "answerer" / "1" / "span.onnx"
WIDTH = 63


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (runtime.RUNTIME_SETTING, runtime.ENGINES_SETTING, tensorrt_graph.PATH_SETTING):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an engine of the span network, named by the setting."""
    folder = tmp_path / "engines"
    engine = folder / "answerer" / "1" / "span.engine"
    engine.parent.mkdir(parents=True)
    engine.write_bytes(b"an engine")
    entry = EngineEntry(
        model="answerer",
        version="1",
        graph="span.onnx",
        graph_sha256=file_sha256(SPANS),
        engine="answerer/1/span.engine",
        engine_sha256=file_sha256(engine),
        precision="fp16",
        inputs=(Tensor("spans", "float32", (-1, WIDTH)),),
        outputs=(Tensor("logits", "float32", (-1,)),),
        profiles={"spans": Profile((1, WIDTH), (8, WIDTH), (64, WIDTH))},
        from_served={"logits": 1e-4},
        from_fp32={"logits": 1e-4},
    )
    Manifest("1.7.1", ("8.0", "8.6"), (entry,)).write(folder)
    monkeypatch.setenv(runtime.ENGINES_SETTING, str(folder))
    return folder


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, engines: Path) -> HostDriver:
    """A machine that seems to have a GPU and TensorRT."""
    driver = HostDriver()
    entry = find_engine(SPANS, engines)[0]
    monkeypatch.setattr(cuda, "load_driver", lambda: driver)
    monkeypatch.setattr(tensorrt_graph, "import_tensorrt", lambda: host_tensorrt(SPANS, entry))
    return driver


def refused(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(runtime.RUNTIME_SETTING, "tensorrt")
    with pytest.raises(EngineUnavailableError) as caught:
        runtime.open_graph(SPANS)
    assert str(caught.value).startswith(f"{caught.value.reason}: ")
    return caught.value.reason


def test_without_settings_a_graph_runs_in_onnx_runtime_and_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    graph = runtime.open_graph(SPANS)
    assert (graph.runtime, graph.precision, graph.engine_sha256) == ("ONNXRUNTIME", "fp32", "")
    logits = graph.run({"spans": np.zeros((3, WIDTH), np.float32)})["logits"]
    assert logits.shape == (3,)
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


def test_another_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(runtime.RUNTIME_SETTING, "cuda")
    with pytest.raises(ValueError, match="auto, onnxruntime, tensorrt"):
        runtime.open_graph(SPANS)


def test_a_gpu_with_an_engine_is_used_and_computes_what_the_graph_does(gpu: HostDriver, engines: Path) -> None:
    graph = runtime.open_graph(SPANS)
    assert (graph.runtime, graph.precision) == ("TENSORRT", "fp16")
    assert graph.engine_sha256 == file_sha256(engines / "answerer" / "1" / "span.engine")
    served = runtime.OnnxGraph(SPANS, threads=1)
    rng = np.random.default_rng(3)
    for rows in (1, 64, 5):  # grows, then lies in what is there
        feeds = {"spans": rng.standard_normal((rows, WIDTH)).astype(np.float32)}
        np.testing.assert_array_equal(graph.run(feeds)["logits"], served.run(feeds)["logits"])
    assert gpu.waited == 3
    assert len(gpu.freed) == 1, "the input of one row, when 64 came; the smallest buffer holds 64 logits"


def test_feeds_need_not_lie_in_one_piece(gpu: HostDriver) -> None:
    wide = np.random.default_rng(3).standard_normal((8, 2 * WIDTH)).astype(np.float32)
    feeds = {"spans": wide[:, ::2]}
    got = runtime.open_graph(SPANS).run(feeds)["logits"]
    np.testing.assert_array_equal(got, runtime.OnnxGraph(SPANS, threads=1).run(feeds)["logits"])


@pytest.mark.parametrize(
    ("feeds", "wanted"),
    [
        ({}, "spans is not fed"),
        ({"spans": np.zeros((65, WIDTH), np.float32)}, "takes"),
        ({"spans": np.zeros((4, WIDTH - 1), np.float32)}, "takes"),
        ({"spans": np.zeros((4, WIDTH), np.float64)}, "float64 where the graph takes float32"),
    ],
    ids=["none", "too many rows", "too narrow", "another type"],
)
def test_what_the_engine_was_not_compiled_for_is_refused(gpu: HostDriver, feeds: dict[str, np.ndarray], wanted: str) -> None:
    graph = runtime.open_graph(SPANS)
    with pytest.raises(ValueError, match=wanted):
        graph.run(feeds)


def test_the_setting_can_keep_a_gpu_unused(gpu: HostDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(runtime.RUNTIME_SETTING, "onnxruntime")
    assert runtime.open_graph(SPANS).runtime == "ONNXRUNTIME"


def test_without_a_driver_tensorrt_fails_and_auto_says_why(
    engines: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cuda, "_LIBRARY", "libcuda-that-is-nowhere.so.1")
    graph = runtime.open_graph(SPANS)
    assert graph.runtime == "ONNXRUNTIME"
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "span.onnx runs in ONNX Runtime. NO_GPU: there is no NVIDIA driver here" in record.getMessage()
    assert refused(monkeypatch) == "NO_GPU"


def test_a_driver_without_a_gpu_is_no_gpu(gpu: HostDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu.gpus = 0
    assert refused(monkeypatch) == "NO_GPU"
    gpu.gpus, gpu.failing = 1, "cuInit"
    assert refused(monkeypatch) == "NO_GPU"


def test_a_call_that_the_gpu_fails_is_an_error_with_its_name(gpu: HostDriver) -> None:
    graph = runtime.open_graph(SPANS)
    gpu.failing = "cuMemAlloc_v2"
    with pytest.raises(cuda.CudaError, match="cuMemAlloc_v2 failed with CUDA error 2"):
        graph.run({"spans": np.zeros((1, WIDTH), np.float32)})


def test_an_engine_that_this_gpu_cannot_run_is_refused_with_the_diagnosis(
    gpu: HostDriver, engines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = find_engine(SPANS, engines)[0]
    broken = host_tensorrt(SPANS, entry, invalid=Diagnostics.UNSUPPORTED_CC)
    monkeypatch.setattr(tensorrt_graph, "import_tensorrt", lambda: broken)
    monkeypatch.setenv(runtime.RUNTIME_SETTING, "tensorrt")
    with pytest.raises(EngineUnavailableError, match=r"REFUSED_ENGINE: .* compute capability 8\.6: UNSUPPORTED_CC"):
        runtime.open_graph(SPANS)


def test_another_version_of_tensorrt_is_refused(gpu: HostDriver, engines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = find_engine(SPANS, engines)[0]
    monkeypatch.setattr(tensorrt_graph, "import_tensorrt", lambda: host_tensorrt(SPANS, entry, version="1.8.0"))
    assert refused(monkeypatch) == "OTHER_TENSORRT"


def test_a_machine_without_tensorrt_is_told_apart(engines: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cuda, "load_driver", HostDriver)
    # An import that fails for certain, also where TensorRT is installed.
    (tmp_path / "tensorrt_rtx.py").write_text("raise ImportError('no libnvinfer')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert refused(monkeypatch) == "NO_TENSORRT"


def test_files_that_do_not_belong_together_are_refused(
    gpu: HostDriver, engines: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    manifest = Manifest.read(engines)
    (entry,) = manifest.engines
    replace(manifest, engines=(replace(entry, graph_sha256="0" * 64),)).write(engines)
    assert refused(monkeypatch) == "STALE_ENGINE"
    replace(manifest, engines=(replace(entry, graph="ranker.onnx"),)).write(engines)
    assert refused(monkeypatch) == "NO_ENGINE"
    manifest.write(engines)
    (engines / entry.engine).write_bytes(b"another engine")
    assert refused(monkeypatch) == "BROKEN_ENGINE"
    for text in ("{", "{}", '{"tensorrt_rtx": "1", "compute_capabilities": [], "engines": [{}]}'):
        (engines / "manifest.json").write_text(text)
        assert refused(monkeypatch) == "BROKEN_ENGINE", text
    shutil.rmtree(engines)
    assert refused(monkeypatch) == "NO_ENGINES"


def test_a_manifest_is_read_as_it_was_written(engines: Path) -> None:
    manifest = Manifest.read(engines)
    manifest.write(engines)
    assert Manifest.read(engines) == manifest
    assert manifest.engines[0].profiles["spans"].most == (64, WIDTH)


def test_a_model_names_its_engine(gpu: HostDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = runtime.open_graph(SPANS)
    monkeypatch.setenv(runtime.RUNTIME_SETTING, "onnxruntime")
    served = runtime.open_graph(SPANS)

    def told(*graphs: runtime.Graph) -> dict[str, str]:
        found: dict[str, str] = json.loads(model_ref(REPOSITORY, "answerer", "1", [SPANS], graphs))
        return found

    assert told(engine, served) | {"weights_sha256": "", "tokenizer_sha256": ""} == {
        "name": "answerer",
        "version": "1",
        "weights_sha256": "",
        "tokenizer_sha256": "",
        "runtime": "TENSORRT",
        "precision": "fp16",
        "engine_sha256": engine.engine_sha256,
    }
    assert "engine_sha256" not in told(served)
    assert (told(served)["runtime"], told()["runtime"], told()["precision"]) == ("ONNXRUNTIME", "ONNXRUNTIME", "fp32")
    both = told(engine, engine)["engine_sha256"]
    assert len(both) == 64
    assert both != engine.engine_sha256


def test_the_precision_is_that_of_the_bytes(tmp_path: Path) -> None:
    assert weights_precision(SPANS) == "fp32"
    assert weights_precision(REPOSITORY / "embedder" / "1" / "embedder.onnx") == "int8"
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(SPANS.read_bytes()[:5000])
    with pytest.raises(ValueError, match="cut off"):
        weights_precision(cut)
