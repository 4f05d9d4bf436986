"""How NVIDIA Triton is started from its PyPI wheel, without root and without a container.

`launch_spec` prepares a work folder and says what to run; it starts nothing and writes nowhere else. Triton's Python backend loads
`libpython` of the interpreter that its stub was built for, so the spec runs on the interpreter of the running environment.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

from cli.parts.launch import LaunchSpec

# Where distributions put libpython when the interpreter does not say.
_LIBPYTHON_FOLDERS = ("/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/local/lib")
# Beside the model repository.
_LIBRARY = Path("lib") / "ragmesh_models"
_REPOSITORY = Path(__file__).resolve().parents[2]
# What `make engines` makes: the engines, and the environment that can run them on a GPU.
ENGINES = _REPOSITORY / "build" / "engines"
ENGINES_VENV = _REPOSITORY / ".venv-engines"


class TritonUnavailableError(RuntimeError):
    """Triton cannot be started here; the message is one line that names what to install."""


def _wheel() -> Path:
    found = importlib.util.find_spec("pytriton")
    if found is None or not found.submodule_search_locations:
        raise TritonUnavailableError("Triton is not installed: pip install nvidia-pytriton==0.7.0 'numpy<2'")
    # Found without importing it: the import starts a logger and reads the network configuration.
    return Path(next(iter(found.submodule_search_locations)))


def _libpython(version: str) -> Path:
    name = f"libpython{version}.so.1.0"
    folders = [sysconfig.get_config_var("LIBDIR") or "", str(Path(sys.base_prefix) / "lib")]
    for folder in [*folders, *_LIBPYTHON_FOLDERS]:
        if folder and (Path(folder) / name).is_file():
            return Path(folder)
    raise TritonUnavailableError(f"Triton's Python backend needs {name}: install the package libpython{version} (Debian, Ubuntu)")


def _backends(work_dir: Path, wheel: Path, version: str, library: Path) -> Path:
    """Backends with the stub of this Python version and the models' own library beside them, where the stub looks."""
    stub = wheel / "tritonserver" / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.is_file():
        raise TritonUnavailableError(f"nvidia-pytriton has no stub for Python {version}: use Python 3.11 or 3.12")
    target = work_dir / "backends"
    ready = target / f".ready-{version}"
    if not ready.is_file():
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(wheel / "tritonserver" / "backends", target)
        shutil.copy2(stub, target / "python" / stub.name)
        ready.touch()
    # The stub starts an isolated interpreter, which reads no PYTHONPATH; the folder of its backend is on its path, though.
    link = target / "python" / library.name
    if not (link.is_symlink() and link.readlink() == library):
        link.unlink(missing_ok=True)
        link.symlink_to(library, target_is_directory=True)
    return target


def launch_spec(
    work_dir: Path,
    model_repository: Path,
    grpc_port: int,
    http_port: int,
    *,
    otlp_endpoint: str | None,
    runtime: str = "auto",
    engines: Path = ENGINES,
) -> LaunchSpec:
    """What to run for a Triton on 127.0.0.1 that serves every model of `model_repository`.

    Args:
        otlp_endpoint: where the models send their spans (OTLP over gRPC, as `http://host:port`); None sends none.
        runtime: what runs the graphs: `auto`, `onnxruntime` or `tensorrt`, see `ragmesh_models.runtime`.
        engines: what `make engines` wrote; it need not be there.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    wheel = _wheel()
    libpython = _libpython(version)
    work_dir = work_dir.resolve()
    model_repository = model_repository.resolve()
    if not model_repository.is_dir():
        raise TritonUnavailableError(f"there is no model repository at {model_repository}")
    work_dir.mkdir(parents=True, exist_ok=True)
    library = model_repository.parent / _LIBRARY
    if not library.is_dir():
        raise TritonUnavailableError(f"there is no {_LIBRARY} beside the model repository {model_repository}")
    backends = _backends(work_dir, wheel, version, library)
    site_packages = wheel.parent
    # The isolated interpreter finds the packages of the environment whose `python` comes first here.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    env = {
        "PATH": path,
        "HOME": os.environ.get("HOME", str(work_dir)),
        "LANG": "C.UTF-8",
        "TMPDIR": tempfile.gettempdir(),
        "LD_LIBRARY_PATH": os.pathsep.join([str(site_packages / "nvidia_pytriton.libs"), str(libpython)]),
        # One arena a thread wastes tens of MB a stub.
        "MALLOC_ARENA_MAX": "2",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "RAGMESH_TRITON_RUNTIME": runtime,
        "RAGMESH_ENGINES": str(engines.resolve()),
        "RAGMESH_TENSORRT_PATH": str(ENGINES_VENV / "lib" / f"python{version}" / "site-packages"),
    }
    if otlp_endpoint is not None:
        env["RAGMESH_OTLP_ENDPOINT"] = otlp_endpoint
    argv = (
        str(wheel / "tritonserver" / "bin" / "tritonserver"),
        f"--model-repository={model_repository}",
        f"--backend-directory={backends}",
        "--model-control-mode=explicit",
        "--load-model=*",
        "--grpc-address=127.0.0.1",
        f"--grpc-port={grpc_port}",
        "--http-address=127.0.0.1",
        f"--http-port={http_port}",
        "--allow-metrics=false",
        "--allow-gpu-metrics=false",
        "--exit-timeout-secs=5",
        "--log-info=false",
        "--log-warning=true",
        "--disable-auto-complete-config",
    )
    return LaunchSpec(argv, env, work_dir)
