"""`make engines` with the real TensorRT-RTX: every shipped graph, what it refuses, and what the models make of it without a GPU."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
from ragmesh_engines.difference import feeds_of, relative_difference
from ragmesh_engines.profiles import graphs_of
from ragmesh_models import runtime, tensorrt_graph
from ragmesh_models.cuda import CudaError, Device, load_driver
from ragmesh_models.engine_files import Manifest, find_engine

from cli.parts.triton import ENGINES_VENV, launch_spec
from tests.service import triton_calls
from tests.service.triton_fixture import REPOSITORY, running_triton

ROOT = Path(__file__).resolve().parents[2]
GRAPHS = Path(__file__).with_name("engine_graphs.py")
PYTHON = ENGINES_VENV / "bin" / "python"


def in_engines_environment(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(str(ROOT / "deploy" / "triton" / name) for name in ("lib", "engines"))
    environment = {**os.environ, "PYTHONPATH": path}
    words = [str(PYTHON), *map(str, arguments)]
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=600, check=False)


def compiled(kind: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The toy repository of that kind, compiled into folder/engines."""
    made = in_engines_environment(GRAPHS, kind, folder / "repository")
    assert made.returncode == 0, made.stderr
    return in_engines_environment("-m", "ragmesh_engines", folder / "repository", folder / "engines")


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All shipped graphs, compiled."""
    folder = tmp_path_factory.mktemp("compiled") / "engines"
    done = in_engines_environment("-m", "ragmesh_engines", REPOSITORY, folder)
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def two_models(tmp_path: Path) -> Path:
    """A repository of the embedder and its tokenizer, with the library of the models beside it."""
    repository = tmp_path / "served" / "model_repository"
    for name in ("embedder", "tokenizer"):
        shutil.copytree(REPOSITORY / name, repository / name)
    (repository.parent / "lib").symlink_to(REPOSITORY.parent / "lib")
    return repository


def gpu_here() -> bool:
    try:
        Device(load_driver())
    except CudaError:
        return False
    return True


# Building loads a library of 230 MB and takes seconds a graph.
# Sums under exponential weights lose too much in fp16 (training/JOURNAL.md, joint reader).
IN_FP32 = {"reader.onnx"}


@pytest.mark.timeout(600)
def test_every_shipped_graph_becomes_an_engine_in_fp16_but_those_that_lose_by_it(engines: Path) -> None:
    manifest = Manifest.read(engines)
    shipped = {path.relative_to(REPOSITORY) for path in REPOSITORY.glob("*/*/*.onnx")}
    assert {Path(entry.model, entry.version, entry.graph) for entry in manifest.engines} == shipped
    for entry in manifest.engines:
        found, path, version = find_engine(REPOSITORY / entry.model / entry.version / entry.graph, engines)
        assert (found, version) == (entry, manifest.tensorrt_rtx)
        assert entry.precision == ("fp32" if entry.graph in IN_FP32 else "fp16")
        assert path.stat().st_size > 0
        if entry.precision == "fp16":
            assert max(entry.from_fp32.values()) > 0, f"{entry.graph}: fp16 leaves no trace, so it was not compiled in fp16"
        assert (engines / entry.engine).with_suffix(".compiled.onnx").is_file(), "what trtexec reads"


@pytest.mark.timeout(600)
def test_int8_weights_are_compiled_as_they_are(tmp_path: Path) -> None:
    for kind, most in (("dynamic_int8", 0.002), ("int8_rows", 0.002)):
        done = compiled(kind, tmp_path / kind)
        assert done.returncode == 0, done.stderr
        (entry,) = Manifest.read(tmp_path / kind / "engines").engines
        assert entry.from_fp32["y"] < most
    (entry,) = Manifest.read(tmp_path / "dynamic_int8" / "engines").engines
    assert entry.from_fp32["y"] < entry.from_served["y"] < 0.05, "the rounding of activations is what an engine leaves out"


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("unsupported", "toy/1/toy.onnx: TensorRT does not take the operator Det (determinant)"),
        ("int8_added", "toy/1/toy.onnx: Max"),
        ("overflow", "toy/1/toy.onnx: what is compiled (fp16) differs from itself in fp32 by inf"),
        ("undescribed", "has no entry in engines.json beside it: say which shapes it must take (x float32 [-1, 8])"),
    ],
)
def test_what_cannot_become_an_engine_fails_by_name_and_leaves_nothing(tmp_path: Path, kind: str, wanted: str) -> None:
    done = compiled(kind, tmp_path)
    assert done.returncode == 1
    assert wanted in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "engines").exists()


@pytest.mark.timeout(600)
def test_tensorrt_is_found_beside_the_serving_environment(engines: Path, tmp_path: Path) -> None:
    """As a model of Triton does it: an isolated interpreter of .venv, with Triton's own libraries first."""
    spec = launch_spec(tmp_path, REPOSITORY, 1, 2, otlp_endpoint=None, engines=engines)
    (entry, *_) = Manifest.read(engines).engines
    script = (
        f"import sys; sys.path[:0] = [{str(ROOT / 'deploy' / 'triton' / 'lib')!r}]\n"
        "from ragmesh_models.tensorrt_graph import import_tensorrt\n"
        "trt = import_tensorrt()\n"
        "import numpy, json\n"
        "validity, why = trt.Runtime(trt.Logger()).get_engine_validity(open(sys.argv[1], 'rb').read())\n"
        "print(json.dumps([trt.__version__, numpy.__file__, validity.name]))\n"
    )
    words = [sys.executable, "-I", "-c", script, str(engines / entry.engine)]
    done = subprocess.run(words, env=spec.env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    version, numpy_file, validity = json.loads(done.stdout.splitlines()[-1])
    assert version == Manifest.read(engines).tensorrt_rtx
    assert Path(numpy_file).is_relative_to(Path(np.__file__).parents[1]), "nothing but TensorRT comes from there"
    assert validity == ("VALID" if gpu_here() else "INVALID")


@pytest.mark.timeout(600)
@pytest.mark.skipif(gpu_here(), reason="for machines without a GPU")
def test_without_a_gpu_triton_falls_back_and_says_why(engines: Path, two_models: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    with running_triton(work, two_models, engines=engines) as server, triton.InferenceServerClient(server.grpc) as client:
        reference = triton_calls.model_ref(client, "embedder", triton_calls.embedder_inputs(["x"], "query"))
    assert reference["runtime"] == "ONNXRUNTIME"
    assert "engine_sha256" not in reference
    log = (work / "triton.log").read_text(errors="replace")
    assert "embedder.onnx runs in ONNX Runtime. NO_GPU" in log


@pytest.mark.timeout(600)
@pytest.mark.skipif(gpu_here(), reason="for machines without a GPU")
def test_without_a_gpu_tensorrt_by_setting_fails_at_start(engines: Path, two_models: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    started = running_triton(work, two_models, engines=engines, runtime="tensorrt")
    with pytest.raises(RuntimeError, match="NO_GPU"), started:
        pytest.fail("Triton became ready")


@pytest.mark.timeout(600)
@pytest.mark.skipif(not gpu_here(), reason="needs an NVIDIA GPU")
def test_on_a_gpu_every_engine_computes_what_was_compiled(engines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    monkeypatch.setenv(tensorrt_graph.PATH_SETTING, str(ENGINES_VENV / "lib" / version / "site-packages"))
    entries = {(entry.model, entry.graph): entry for entry in Manifest.read(engines).engines}
    for graph in graphs_of(REPOSITORY):
        entry = entries[graph.model, graph.path.name]
        on_gpu = tensorrt_graph.open_engine(graph.path, engines)
        on_cpu = runtime.OnnxGraph((engines / entry.engine).with_suffix(".compiled.onnx"), threads=1)
        for which in ("least", "usual"):
            feeds = feeds_of(graph, which)
            got, wanted = on_gpu.run(feeds), on_cpu.run(feeds)
            for name in wanted:
                assert relative_difference(got[name], wanted[name]) <= graph.declared.tolerance, (graph.title, which, name)


@pytest.mark.timeout(600)
def test_the_script_for_the_full_image_hands_every_graph_to_trtexec(engines: Path, tmp_path: Path) -> None:
    """With a `trtexec` that only checks what it is given: the real one is in that image."""
    trtexec = tmp_path / "bin" / "trtexec"
    trtexec.parent.mkdir()
    trtexec.write_text(
        '#!/bin/bash\nset -e\nfor word in "$@"; do\n'
        '  case "$word" in --onnx=*) test -s "${word#--onnx=}" ;; --saveEngine=*) echo "$*" >"${word#--saveEngine=}" ;; esac\n'
        "done\n"
    )
    trtexec.chmod(0o755)
    gpu = ROOT / "deploy" / "triton" / "gpu"
    repository = tmp_path / "model_repository"
    shutil.copytree(gpu / "model_repository", repository)
    words = [str(gpu / "build-plans"), str(engines), str(repository)]
    environment = {**os.environ, "PATH": f"{trtexec.parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    plans = {plan.parents[1].name: plan.read_text() for plan in repository.glob("*/1/model.plan")}
    assert set(plans) == {config.parent.name for config in repository.glob("*/config.pbtxt")}
    for entry in Manifest.read(engines).engines:
        given = plans[f"{entry.model}_{Path(entry.graph).stem}"]
        assert "--stronglyTyped" in given
        for name, profile in entry.profiles.items():
            assert f"{name}:{'x'.join(map(str, profile.most))}" in given
