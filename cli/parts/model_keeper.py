"""Keeps the processes of Triton's models alive: one that dies, Triton neither starts again nor misses.

Each Python model runs in a process of its own, a stub. Where one is killed, Triton calls the model ready as before, and every
request of it fails. Unloading the model and loading it again starts a new one; the other models go on meanwhile. Knows no model in
particular.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from urllib.parse import quote

import orjson
import psutil

from cli.parts.http_request import request

_LOOK_SECONDS = 0.2
_CONTROL_SECONDS = 60.0
_FIRST_BACKOFF, _LAST_BACKOFF = 0.1, 30.0
_REMEMBERED_SECONDS = 300.0
_REMEMBERED_DEATHS = 16


class ModelsLostError(Exception):
    """Triton cannot bring a model back; the message says which and why. Starting all of Triton again is what is left."""


def model_processes(triton: int) -> dict[str, psutil.Process]:
    """Name of a model -> its live process, of those that the Triton with this process id started."""
    found = {}
    try:
        children = psutil.Process(triton).children()
    except psutil.NoSuchProcess:
        return {}
    for process in children:
        try:
            words = process.cmdline()
        except psutil.Error:  # it has ended
            continue
        # `.../triton_python_backend_stub {repository}/{model}/{version}/model.py ...`
        names = [Path(word).parents[1].name for word in words if Path(word).name == "model.py"]
        if names:
            found[names[0]] = process
    return found


class ModelKeeper:
    """Watches the models of one running Triton.

    Args:
        triton: its process id.
        target: `host:port` of its HTTP.
        ready: whether it is ready, all models loaded.
        say: told in one line what happened, for a person and the log.
    """

    def __init__(self, triton: int, target: str, ready: Callable[[], Awaitable[bool]], say: Callable[[str], None]) -> None:
        self._triton = triton
        self._target = target
        self._ready = ready
        self._say = say

    async def run(self) -> None:
        """Goes on until it is cancelled.

        Raises:
            ModelsLostError: a model cannot be loaded again.
        """
        await self._until(self._ready)
        names = await self._models()
        running = await asyncio.to_thread(model_processes, self._triton)
        lost: BaseExceptionGroup[ModelsLostError] | None = None
        try:
            async with asyncio.TaskGroup() as group:
                for name in names:
                    group.create_task(self._keep(name, running.get(name)), name=f"keep-model-{name}")
        except* ModelsLostError as errors:
            lost = errors
        if lost is not None:
            raise ModelsLostError("; ".join(str(error) for error in lost.exceptions))

    async def _models(self) -> list[str]:
        try:
            answer = await request(self._target, "/v2/repository/index", method="POST")
        except OSError as error:
            raise ModelsLostError(f"Triton does not say which models it has: {error}") from error
        return [str(model["name"]) for model in orjson.loads(answer.body) if model.get("state") == "READY"]

    async def _keep(self, name: str, process: psutil.Process | None) -> None:
        deaths: deque[float] = deque(maxlen=_REMEMBERED_DEATHS)
        while True:
            await self._until(partial(_ended, process))
            # A Triton that is not ready ends with all its models, or loads another one. Of the former its own keeper hears.
            await self._until(self._ready)
            now = time.monotonic()
            deaths.append(now)
            often = sum(now - death < _REMEMBERED_SECONDS for death in deaths)
            wait = min(_FIRST_BACKOFF * 2 ** (often - 1), _LAST_BACKOFF)
            self._say(f"the process of the model {name} ended; loading the model again in {wait:.1f} s")
            await asyncio.sleep(wait)
            began = time.monotonic()
            await self._control(name, "unload")
            await self._control(name, "load")
            process = (await asyncio.to_thread(model_processes, self._triton)).get(name)
            self._say(f"the model {name} is loaded again ({time.monotonic() - began:.1f} s)")

    @staticmethod
    async def _until(so: Callable[[], Awaitable[bool]]) -> None:
        while True:
            if await so():
                return
            await asyncio.sleep(_LOOK_SECONDS)

    async def _control(self, name: str, what: str) -> None:
        path = f"/v2/repository/models/{quote(name, safe='')}/{what}"
        try:
            answer = await request(self._target, path, method="POST", timeout=_CONTROL_SECONDS)
        except OSError as error:
            raise ModelsLostError(f"the model {name} cannot be {what}ed: {error}") from error
        if answer.status != 200:
            said = " ".join(answer.body.decode(errors="replace").split())[:300]
            raise ModelsLostError(f"the model {name} cannot be {what}ed: {said}")


async def _ended(process: psutil.Process | None) -> bool:
    try:
        return process is None or process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD) or not process.is_running()
    except psutil.NoSuchProcess:
        return True
