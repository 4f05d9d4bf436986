"""A real Weaviate for tests: one node or three on free loopback ports, each ended by its process id."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cli.parts.weaviate import NodePorts, is_ready, launch_spec
from services.retriever.weaviate_settings import WeaviateSettings

READY_WITHIN_S = 90.0


@dataclass
class Node:
    """One Weaviate server; may be killed and started again over the same data."""

    name: str
    folder: Path
    ports: NodePorts
    join: str = ""
    voters: tuple[tuple[str, int], ...] = ()
    process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        spec = launch_spec(self.folder / self.name, self.ports, node=self.name, join=self.join, voters=self.voters)
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                spec.argv, env=spec.env, cwd=spec.cwd, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def wait_until_ready(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + READY_WITHIN_S
        while not asyncio.run(is_ready(self.ports)):
            if self.process.poll() is not None or time.monotonic() > deadline:
                log = (self.folder / f"{self.name}.log").read_text(errors="replace")
                raise RuntimeError(f"Weaviate {self.name} was not ready: {log[-4000:]}")
            time.sleep(0.1)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, how)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(timeout=20)
        self.process = None

    def settings(self, **changes: object) -> WeaviateSettings:
        return settings_for([self], **changes)


def settings_for(nodes: Sequence[Node], **changes: object) -> WeaviateSettings:
    where = [{"http_port": node.ports.http, "grpc_port": node.ports.grpc} for node in nodes]
    return WeaviateSettings.model_validate({"nodes": where, **changes})


@pytest.fixture(scope="module")
def weaviate_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = Node("n1", tmp_path_factory.mktemp("weaviate"), NodePorts.choose())
    node.start()
    try:
        node.wait_until_ready()
        yield node
    finally:
        node.stop()


@contextlib.contextmanager
def weaviate_cluster(folder: Path, size: int = 3) -> Iterator[list[Node]]:
    """Nodes of one cluster, all ready."""
    chosen = [NodePorts.choose() for _ in range(size)]
    voters = tuple((f"n{at}", ports.raft) for at, ports in enumerate(chosen))
    nodes = []
    for at, ports in enumerate(chosen):
        join = f"127.0.0.1:{chosen[0].gossip}" if at else ""
        nodes.append(Node(f"n{at}", folder, ports, join, voters))
    try:
        for node in nodes:
            node.start()
        for node in nodes:
            node.wait_until_ready()
        yield nodes
    finally:
        for node in nodes:
            node.stop()
