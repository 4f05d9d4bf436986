"""A real Weaviate for tests: one node or three on free loopback ports, each ended by its process id."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cli.parts.weaviate import NodePorts, is_ready, launch_spec
from services.retriever.weaviate_settings import WeaviateSettings
from tests.server_process import ServerProcess

READY_WITHIN_S = 90.0


@dataclass
class Node:
    """One Weaviate server; may be killed and started again over the same data."""

    name: str
    folder: Path
    ports: NodePorts
    join: str = ""
    voters: tuple[tuple[str, int], ...] = ()
    data: str = ""
    """Folder of its data inside `folder`; empty: its name."""
    server: ServerProcess = field(init=False)

    def __post_init__(self) -> None:
        self.server = ServerProcess(f"Weaviate {self.name}", self.folder / f"{self.name}.log")

    def start(self) -> None:
        place = self.folder / (self.data or self.name)
        self.server.start(launch_spec(place, self.ports, node=self.name, join=self.join, voters=self.voters))

    def wait_until_ready(self) -> None:
        self.server.wait_until(lambda: asyncio.run(is_ready(self.ports)), READY_WITHIN_S)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        self.server.stop(how)

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
