"""Where a mesh keeps its run-time state, who owns it, and what others read about it.

`{var}/run/up.lock` is held while a mesh runs; `{var}/run/state.json` says where it can be reached. Knows nothing
of how parts start.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import signal
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from pydantic import BaseModel, ValidationError

from cli.errors import CliError
from cli.parts.files import write_atomically

# sun_path holds 108 bytes with its final NUL; the longest name that lies in a run folder is `retriever.admin.sock`.
_MAX_RUN_DIR_BYTES = 107 - len("/retriever.admin.sock")


class ProcessRef(BaseModel):
    """A process that can be told from a later one with the same number."""

    pid: int
    create_time: float

    @classmethod
    def of(cls, pid: int) -> ProcessRef | None:
        """The process with this number now; None where there is none."""
        try:
            return cls(pid=pid, create_time=psutil.Process(pid).create_time())
        except psutil.NoSuchProcess:
            return None

    def is_alive(self) -> bool:
        """Whether this very process still runs."""
        found = ProcessRef.of(self.pid)
        return found is not None and abs(found.create_time - self.create_time) < 0.05


class MeshState(BaseModel):
    """What a running mesh says about itself."""

    supervisor: ProcessRef
    run_dir: Path
    log_dir: Path
    web_url: str = ""
    grpc_target: str = ""
    triton_target: str = ""
    otlp_endpoint: str
    """Where a trace viewer must listen."""
    telemetry_endpoint: str | None = None
    """Where traces go by setting; None: nowhere."""
    processes: dict[str, ProcessRef] = {}


@dataclass(frozen=True)
class VarLayout:
    """Folders of one mesh."""

    root: Path

    @property
    def key(self) -> str:
        """Tells this mesh from others where only a short name fits."""
        return hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]

    @property
    def data_dir(self) -> Path:
        """What survives a restart."""
        return self.root / "data"

    @property
    def log_dir(self) -> Path:
        """Logs of the parts."""
        return self.root / "log"

    @property
    def state_dir(self) -> Path:
        """Lock and state file, always here, so that others find them."""
        return self.root / "run"

    @property
    def state_file(self) -> Path:
        """What a running mesh says about itself."""
        return self.state_dir / "state.json"

    @property
    def run_dir(self) -> Path:
        """Sockets and `telemetry.json`: the state folder, or a temporary one where that path is too long."""
        if len(os.fsencode(self.state_dir)) <= _MAX_RUN_DIR_BYTES:
            return self.state_dir
        return Path(tempfile.gettempdir()) / f"ragmesh-{os.getuid()}-{self.key}"

    def make(self) -> None:
        """Makes the folders, closed to others.

        Raises:
            CliError: one cannot be made, or is somebody else's.
        """
        for folder in dict.fromkeys((self.root, self.state_dir, self.run_dir, self.data_dir, self.log_dir)):
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            except OSError as error:
                message = f"The folder {folder} cannot be made: {error.strerror}."
                raise CliError(message, "Choose another one with --var.") from error
        found = self.run_dir.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise CliError(f"The folder {self.run_dir} belongs to somebody else.", "Choose another one with --var.")
        for folder in (self.run_dir, self.state_dir, self.data_dir):
            folder.chmod(0o700)


def layout(var_dir: Path) -> VarLayout:
    """The folders of the mesh at `var_dir`."""
    return VarLayout(var_dir.expanduser().resolve())


@contextlib.contextmanager
def held_lock(folders: VarLayout) -> Iterator[None]:
    """Holds the lock of a mesh, so that there is only one on a var folder.

    Raises:
        CliError: another one runs.
    """
    handle = os.open(folders.state_dir / "up.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CliError(_running_already(folders), "Stop it with Ctrl-C, or use another folder with --var.") from None
        yield
    finally:
        os.close(handle)


def _running_already(folders: VarLayout) -> str:
    state = read_state(folders)
    where = f" at {state.web_url}" if state and state.web_url else ""
    who = f" (process {state.supervisor.pid})" if state else ""
    return f"A mesh runs in {folders.root} already{where}{who}."


def read_state(folders: VarLayout) -> MeshState | None:
    """What the mesh that runs at `folders` says about itself; None where none runs."""
    state = _stored(folders)
    return state if state is not None and state.supervisor.is_alive() else None


def _stored(folders: VarLayout) -> MeshState | None:
    try:
        return MeshState.model_validate_json(folders.state_file.read_bytes())
    except (OSError, ValidationError):
        return None


def write_state(folders: VarLayout, state: MeshState) -> None:
    """Says what is so now."""
    write_atomically(folders.state_file, state.model_dump_json(indent=1).encode())


def clear_state(folders: VarLayout) -> None:
    """Says that no mesh runs."""
    folders.state_file.unlink(missing_ok=True)


def end_leftovers(folders: VarLayout) -> list[str]:
    """Ends processes that an earlier mesh left behind, and says which. Call it with the lock held.

    Processes are tied to their supervisor, so that this finds something only where the kernel did not see to it.
    """
    state = _stored(folders)
    ended: list[str] = []
    for name, process in (state.processes if state else {}).items():
        if process.is_alive():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
                ended.append(name)
    clear_state(folders)
    return ended
