"""A running mesh: starts every part, watches them, starts again what died, and ends all of it.

`Mesh.start` is what `ragmesh up`, the tests and the bench use. Knows the order of things; each part's own file knows how it starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

from cli.errors import CliError
from cli.parts import ports, run_state
from cli.parts.child import Child
from cli.parts.envoy_admin import EnvoyAdmin
from cli.parts.keys import KeyFileError, ensure_session_keys
from cli.parts.logs import last_trouble, last_words, trim
from cli.parts.roster import (
    PARTS,
    SERVICES,
    Part,
    Ports,
    admin_socket,
    envoy_part,
    service_part,
    service_targets,
    triton_part,
    weaviate_part,
)
from cli.parts.run_state import MeshState, ProcessRef, VarLayout
from cli.parts.telemetry_state import write_telemetry
from cli.parts.tending import tended
from cli.parts.weaviate import NodePorts
from cli.settings import UpSettings, file_environment, read_settings

MAX_DEATHS = 6
"""A part that ends this often within `DEATH_WINDOW` seconds is given up."""
DEATH_WINDOW = 60.0
_FIRST_BACKOFF, _LAST_BACKOFF = 0.1, 5.0
_POLL_SECONDS = 0.03
_HOUSEKEEPING_SECONDS = 30.0

# First the one that ends turns in good order, then who carries it, then whom it asks, then whom they ask.
_STOP_ORDER = (("gateway",), ("envoy",), ("guard", "retriever", "generator"), ("triton", "weaviate"))


@dataclass(frozen=True)
class PartEvent:
    """Something a person at a terminal wants to see."""

    part: str
    kind: Literal["starting", "ready", "died", "mending", "given up"]
    text: str


def _ignore(_: PartEvent) -> None:
    return None


class Mesh:
    """All parts of one var folder. Made by `Mesh.start`. Its processes end with the thread that started them."""

    def __init__(
        self,
        folders: VarLayout,
        settings: UpSettings,
        ports: Ports,
        parts: Sequence[Part],
        notify: Callable[[PartEvent], None],
    ) -> None:
        self.folders = folders
        self.settings = settings
        self._ports = ports
        self._parts = {part.name: part for part in parts}
        self._notify = notify
        self._children: dict[str, Child] = {}
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._held: set[str] = set()
        self._ready: set[str] = set()
        self._started = False
        self._stopping = False
        self._begun = datetime.now(UTC)
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._state = MeshState(
            supervisor=ProcessRef.of(os.getpid()) or ProcessRef(pid=os.getpid(), create_time=0.0),
            run_dir=folders.run_dir,
            log_dir=folders.log_dir,
            otlp_endpoint=settings.viewer_endpoint,
            telemetry_endpoint=settings.otlp_endpoint,
            triton_target=f"127.0.0.1:{ports.triton_grpc}",
        )

    @staticmethod
    @asynccontextmanager
    async def start(
        var_dir: Path,
        *,
        parts: Sequence[str] = PARTS,
        env: Mapping[str, str] | None = None,
        on_event: Callable[[PartEvent], None] = _ignore,
        **settings: Any,
    ) -> AsyncIterator[Mesh]:
        """A mesh that is ready, and ended with the block.

        Args:
            var_dir: its folder; what is stored there survives.
            parts: which of them; less than all for a test of one.
            env: environment variables for the services, over those of the process and of `{var_dir}/ragmesh.env`.
            on_event: called with what a person wants to see.
            settings: fields of `UpSettings` that win over the environment, for example `public_port=0`.

        Raises:
            CliError: it cannot start; the message says why.
        """
        folders = run_state.layout(var_dir)
        chosen = read_settings(folders.root, **settings)
        folders.make()
        with run_state.held_lock(folders):
            for name in run_state.end_leftovers(folders):
                on_event(PartEvent(name, "died", f"{name} of an earlier run was still there; ended it"))
            _check_ports(chosen)
            mesh = _assemble(folders, chosen, {**file_environment(folders.root), **(env or {})}, parts, on_event)
            try:
                await mesh._bring_up()
                yield mesh
            finally:
                await mesh.stop()

    @property
    def web_url(self) -> str:
        """Where the browser client is."""
        return self._state.web_url

    @property
    def grpc_target(self) -> str:
        """`host:port` of plain gRPC."""
        return self._state.grpc_target

    @property
    def triton_target(self) -> str:
        """`host:port` of Triton's gRPC."""
        return self._state.triton_target

    @property
    def service_targets(self) -> dict[str, str]:
        """Name of a service -> its address, as `open_channel` takes it."""
        return service_targets(self.run_dir, self._ports)

    @property
    def run_dir(self) -> Path:
        """Sockets and `telemetry.json`."""
        return self.folders.run_dir

    @property
    def data_dir(self) -> Path:
        """What survives a restart."""
        return self.folders.data_dir

    @property
    def log_dir(self) -> Path:
        """`{part}.log` of each part, and `access.log`."""
        return self.folders.log_dir

    @property
    def envoy_admin(self) -> EnvoyAdmin:
        """Asks Envoy, and tells it how much to trace."""
        return EnvoyAdmin(admin_socket(self.run_dir))

    @property
    def pids(self) -> dict[str, int]:
        """Name of a part -> its process id, of those that run."""
        return {name: child.pid for name, child in self._children.items() if child.alive}

    def kill(self, part: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Sends a signal to a part; when it ends, it is started again."""
        self._children[part].send(number)

    async def hold(self, part: str) -> None:
        """Ends a part and keeps it down until `release`."""
        self._held.add(part)
        await self._children[part].stop(self._parts[part].grace)
        await self._keepers[part]

    async def release(self, part: str) -> None:
        """Starts a part that was held, and waits until it is ready."""
        self._held.discard(part)
        self._keep(part)
        await self.wait_ready(part)

    async def wait_ready(self, *names: str, timeout: float = 30.0) -> None:
        """Waits until these parts are ready; none named: all.

        Raises:
            TimeoutError: they are not ready in time.
        """
        async with asyncio.timeout(timeout):
            await asyncio.gather(*(self._until_ready(self._parts[name]) for name in names or tuple(self._parts)))

    async def wait_failed(self) -> None:
        """Returns never; raises once a part was given up.

        Raises:
            CliError: which, and its last words.
        """
        await asyncio.shield(self._failure)

    async def stop(self) -> None:
        """Ends all parts in order and returns when nothing of them is left. Takes at most about eight seconds."""
        self._stopping = True
        for names in _STOP_ORDER:
            present = [name for name in names if name in self._children]
            await asyncio.gather(*(self._children[name].stop(self._parts[name].grace) for name in present))
        for name, task in self._keepers.items():
            task.cancel()
            if name in self._parts:
                self._parts[name].clean()
        await asyncio.gather(*self._keepers.values(), return_exceptions=True)
        if self._failure.done() and not self._failure.cancelled():
            self._failure.exception()  # seen; who waits for it has it
        self._failure.cancel()
        run_state.clear_state(self.folders)

    async def _bring_up(self) -> None:
        write_telemetry(self.run_dir, self.settings.otlp_endpoint)
        for name in self._parts:
            self._keep(name)
        self._keepers["housekeeping"] = asyncio.create_task(self._keep_house(), name="housekeeping")
        failed: CliError | None = None
        try:
            async with asyncio.timeout(self.settings.start_seconds), asyncio.TaskGroup() as group:
                watch = group.create_task(self.wait_failed())
                ready = [group.create_task(self._until_ready(part)) for part in self._parts.values()]
                await asyncio.gather(*ready)
                watch.cancel()
        except* CliError as errors:
            failed = _first(errors)
        except* TimeoutError:
            failed = failed or self._late()
        if failed is not None:
            raise failed  # out here: before Python 3.11.4 what is raised in there is wrapped in a group
        self._started = True
        await self._publish()

    async def _until_ready(self, part: Part) -> None:
        begun = time.monotonic()
        while True:
            if await part.ready():
                break
            await asyncio.sleep(_POLL_SECONDS)
        self._ready.add(part.name)
        self._notify(PartEvent(part.name, "ready", f"{part.name} is ready ({time.monotonic() - begun:.1f} s)"))

    async def _publish(self) -> None:
        """Writes down where the mesh is, with the ports that Envoy really has; a restart of Envoy keeps them."""
        if "envoy" in self._parts:
            found = await self.envoy_admin.listener_ports()
            changes = {"public_port": found["public"], "local_port": found["local"]}
            self.settings = self.settings.model_copy(update=changes)
            self._state.web_url = f"http://{_shown(self.settings.public_host)}:{found['public']}"
            self._state.grpc_target = f"{_shown(self.settings.local_host)}:{found['local']}"
        self._save()

    def _save(self) -> None:
        found = {name: ProcessRef.of(child.pid) for name, child in self._children.items() if child.alive}
        self._state.processes = {name: process for name, process in found.items() if process is not None}
        run_state.write_state(self.folders, self._state)

    def _keep(self, name: str) -> None:
        task = asyncio.create_task(self._keep_alive(self._parts[name]), name=f"keep-{name}")
        self._keepers[name] = task

    async def _keep_alive(self, part: Part) -> None:
        deaths: deque[float] = deque(maxlen=MAX_DEATHS)
        while not self._stopping and part.name not in self._held:
            self._notify(PartEvent(part.name, "starting", f"starting {part.name}"))
            try:
                child = await self._start_child(part)
            except CliError as error:
                self._fail(error)
                return
            except OSError as error:  # the disk is full: its log cannot be opened
                text = f"{part.name} cannot be started ({error.strerror}); trying again in {_LAST_BACKOFF:.1f} s"
                self._notify(PartEvent(part.name, "died", text))
                await asyncio.sleep(_LAST_BACKOFF)
                continue
            async with tended(part, child, self.log_dir / f"{part.name}.log", partial(self._mending, part.name)):
                status = await child.wait()
            child.kill_group()
            part.clean()
            if self._stopping or part.name in self._held:
                return
            deaths.append(time.monotonic())
            often = len(deaths) == MAX_DEATHS and deaths[-1] - deaths[0] < DEATH_WINDOW
            if often or not self._started:
                self._fail(self._died(part.name, status, len(deaths)))
                return
            wait = min(_FIRST_BACKOFF * 2 ** (len(deaths) - 1), _LAST_BACKOFF)
            self._notify(PartEvent(part.name, "died", f"{part.name} {_ended(status)}; starting it again in {wait:.1f} s"))
            await asyncio.sleep(wait)

    def _mending(self, name: str, text: str) -> None:
        self._notify(PartEvent(name, "mending", text))

    async def _start_child(self, part: Part) -> Child:
        log = self.log_dir / f"{part.name}.log"
        child = await Child.start(part.name, part.launch(), log, orphan_signal=part.orphan_signal)
        self._children[part.name] = child
        if self._stopping:  # while we waited for the process; nobody else would end it
            await child.stop(0.0)
        # On a full disk what is written down gets old; a part that nobody starts again would be worse.
        with contextlib.suppress(OSError):
            self._save()
        return child

    def _fail(self, error: CliError) -> None:
        if not self._failure.done():
            self._failure.set_exception(error)
            self._notify(PartEvent("mesh", "given up", error.message))

    def _died(self, name: str, status: int, deaths: int) -> CliError:
        log = self.log_dir / f"{name}.log"
        words = last_words(log, lines=1)
        often = f" {deaths} times within {DEATH_WINDOW:.0f} s" if deaths > 1 else ""
        said = f": {words[:300]}" if words else "."
        return CliError(f"{name} {_ended(status)}{often}{said}", f"See {log}; `ragmesh doctor` checks every part.")

    def _late(self) -> CliError:
        seconds = self.settings.start_seconds
        late = [name for name in self._parts if name not in self._ready]
        troubles = {name: last_trouble(self.log_dir / f"{name}.log", self._begun) for name in late}
        said = "".join(f" {name} says: {trouble[:300]}." for name, trouble in troubles.items() if trouble)
        return CliError(
            f"Not ready within {seconds:.0f} s: {', '.join(late)}.{said}",
            f"See the logs in {self.log_dir}; RAGMESH_START_SECONDS gives it more time.",
        )

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(_HOUSEKEEPING_SECONDS)
            for log in self.log_dir.glob("*.log"):
                with contextlib.suppress(OSError):
                    await asyncio.to_thread(trim, log)


def _assemble(
    folders: VarLayout, settings: UpSettings, env: Mapping[str, str], parts: Sequence[str], notify: Callable[[PartEvent], None]
) -> Mesh:
    try:
        keys = ensure_session_keys(folders.data_dir)
    except KeyFileError as error:
        raise CliError(str(error) + ".") from error
    wanted = ports.free_ports(2 + (len(SERVICES) if settings.tls_dir else 0))
    on_weaviate = settings.store == "weaviate" and "retriever" in parts
    chosen = Ports(
        wanted[0],
        wanted[1],
        NodePorts.choose() if on_weaviate else None,
        dict(zip(SERVICES, wanted[2:], strict=True)) if settings.tls_dir else {},
    )
    held: list[Mesh] = []
    made = {
        "triton": triton_part(folders, settings, chosen),
        "envoy": envoy_part(folders, lambda: held[0].settings, chosen, keys),
    }
    made |= {name: service_part(name, folders, settings, chosen, env) for name in SERVICES}
    first = [weaviate_part(folders, chosen.weaviate)] if chosen.weaviate is not None else []
    mesh = Mesh(folders, settings, chosen, [*first, *(made[name] for name in parts)], notify)
    held.append(mesh)
    return mesh


def _check_ports(settings: UpSettings) -> None:
    for kind in ("public", "local"):
        host, port = getattr(settings, f"{kind}_host"), getattr(settings, f"{kind}_port")
        if not ports.is_free(host, port):
            option = "--port" if kind == "public" else "--grpc-port"
            remedy = f"Choose another one with {option} or RAGMESH_{kind.upper()}_PORT."
            raise CliError(f"Port {port} on {host} is in use.", remedy)


def _shown(host: str) -> str:
    return "127.0.0.1" if host in ("0.0.0.0", "::", "localhost") else host  # noqa: S104  # compared, not bound


def _ended(status: int) -> str:
    return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"


def _first(errors: BaseExceptionGroup[CliError]) -> CliError:
    found: BaseException = errors
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, CliError)
    return found
