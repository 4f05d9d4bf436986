"""Gateways as processes of their own, on one folder, between scripted services of the test's process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import grpc
from ragmesh.gateway.v1 import gateway_service_pb2 as g
from ragmesh.identity.v1.principal_pb2 import Principal

from services.mesh.settings import MeshSettings
from tests.service.gateway.fake_services import FakeServices
from tests.service.gateway.visitors import Visitor
from tests.unit.gateway.waiting import until

ROOT = Path(__file__).resolve().parents[3]
_START_SECONDS = 60.0


class GatewayProcess:
    """`python -m services.gateway`, ended by its process id."""

    def __init__(self, folder: Path, name: str, settings: dict[str, str]) -> None:
        self._folder = folder
        self._name = name
        self._settings = settings
        self._log = folder / f"{name}.log"
        self._process: asyncio.subprocess.Process | None = None
        self._visitors: list[Visitor] = []
        self.target = f"unix:{folder / 'run' / name}.sock"

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start it and return once it answers."""
        settings = {
            "RUN_DIR": str(self._folder / "run"),
            "DATA_DIR": str(self._folder / "data"),
            "LISTEN": self.target,
            "ADMIN_LISTEN": f"unix:{self._folder / 'run' / self._name}.admin.sock",
            "ASSISTANT_DIR": str(ROOT / "corpus" / "assistants"),
            "DRAIN_SECONDS": "0.5",
            "LOG_LEVEL": "warning",
            **self._settings,
        }
        environment = {key: value for key, value in os.environ.items() if not key.startswith("RAGMESH_")}
        environment |= {f"RAGMESH_{key}": value for key, value in settings.items()}
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "gen" / "python")])
        with self._log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.gateway", cwd=self._folder, env=environment, stdout=output, stderr=output
            )
        visitor = self.visitor(None)

        async def answers() -> bool:
            assert self._process is not None and self._process.returncode is None, self._log.read_text()
            try:
                await visitor.stub.GetAssistant(g.GetAssistantRequest(), timeout=1.0)
            except grpc.aio.AioRpcError:
                return False
            return True

        await until(answers, f"{self._name} answers", _START_SECONDS)

    def visitor(self, principal: Principal | None) -> Visitor:
        """Somebody who calls it."""
        made = Visitor(self.target, principal)
        self._visitors.append(made)
        return made

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    async def ended(self) -> int:
        """Wait for its end; its exit status."""
        assert self._process is not None
        return await asyncio.wait_for(self._process.wait(), 20)

    async def kill(self) -> None:
        """End it without a word."""
        self.send(signal.SIGKILL)
        await self.ended()

    async def close(self) -> None:
        """End it, if it runs."""
        for visitor in self._visitors:
            await visitor.close()
        if self._process is not None and self._process.returncode is None:
            await self.kill()

    def log_text(self) -> str:
        """What it logged."""
        return self._log.read_text()


class Host:
    """A folder, the services on its sockets, and gateways that share its database."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._gateways: list[GatewayProcess] = []
        self.data_dir = folder / "data"
        self.services = FakeServices(MeshSettings(run_dir=folder / "run", drain_seconds=0.2, _env_file=None))  # type: ignore[call-arg]

    def gateway(self, name: str, **settings: str) -> GatewayProcess:
        """A gateway that is not started yet."""
        made = GatewayProcess(self._folder, name, settings)
        self._gateways.append(made)
        return made

    async def close(self) -> None:
        """End everything."""
        for gateway in self._gateways:
            await gateway.close()
        await self.services.stop()
