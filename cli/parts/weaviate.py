"""Weaviate as a part of the mesh: one node on loopback, for an index on it (`ragmesh up --store weaviate`).

Its data may be thrown away at any time: the store of truth builds the index anew. It calls nobody: no module that reaches out is
enabled, and its telemetry is off.
"""

from __future__ import annotations

import os
from dataclasses import astuple, dataclass
from pathlib import Path

from cli.errors import CliError
from cli.parts.http_request import request
from cli.parts.launch import LaunchSpec
from cli.parts.ports import free_ports, is_free
from cli.tools import find_program, read_tools

PROGRAM = "weaviate-server"


@dataclass(frozen=True)
class NodePorts:
    """Ports of loopback that one node listens on."""

    http: int
    grpc: int
    gossip: int
    data: int
    raft: int
    raft_rpc: int
    profiling: int

    @classmethod
    def choose(cls) -> NodePorts:
        """Free ones. Weaviate takes it for granted that data lies one above gossip, and Raft's calls one above Raft."""
        while True:
            http, grpc, profiling, gossip, raft = free_ports(5)
            chosen = cls(http, grpc, gossip, gossip + 1, raft, raft + 1, profiling)
            beside = all(port < 65_536 and is_free("127.0.0.1", port) for port in (chosen.data, chosen.raft_rpc))
            if beside and len(set(astuple(chosen))) == len(astuple(chosen)):
                return chosen


def launch_spec(
    folder: Path, ports: NodePorts, *, node: str = "n1", join: str = "", voters: tuple[tuple[str, int], ...] = ()
) -> LaunchSpec:
    """What to run for a node that keeps its data in `folder`.

    Args:
        join: `host:port` of the gossip of another node, for a cluster.
        voters: node and Raft port of all nodes that begin a cluster; none for a node that stands alone.

    Raises:
        CliError: the program is not there.
    """
    program = find_program(PROGRAM)
    if program is None:
        tool = read_tools()["weaviate"]
        raise CliError(f"Weaviate {tool.version} is not installed.", f"{tool.remedy}; `ragmesh doctor` checks every part.")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    env = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(folder),
        "PERSISTENCE_DATA_PATH": str(folder),
        "DISABLE_TELEMETRY": "true",
        "DEFAULT_VECTORIZER_MODULE": "none",
        "ENABLE_MODULES": "",
        "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "true",
        "QUERY_DEFAULTS_LIMIT": "10",
        "LOG_LEVEL": "warning",
        "GOMEMLIMIT": "2GiB",
        "GRPC_PORT": str(ports.grpc),
        "PROFILING_PORT": str(ports.profiling),
        "PROMETHEUS_MONITORING_ENABLED": "false",
        "CLUSTER_IN_LOCALHOST": "true",
        "CLUSTER_ADVERTISE_ADDR": "127.0.0.1",
        "CLUSTER_HOSTNAME": node,
        "CLUSTER_GOSSIP_BIND_PORT": str(ports.gossip),
        "CLUSTER_DATA_BIND_PORT": str(ports.data),
        "RAFT_PORT": str(ports.raft),
        "RAFT_INTERNAL_RPC_PORT": str(ports.raft_rpc),
        "RAFT_BOOTSTRAP_EXPECT": str(len(voters) or 1),
    }
    if voters:
        env["RAFT_JOIN"] = ",".join(f"{name}:{port}" for name, port in voters)
    if join:
        env["CLUSTER_JOIN"] = join
    argv = (str(program), "--host", "127.0.0.1", "--port", str(ports.http), "--scheme", "http")
    return LaunchSpec(argv, env, folder)


async def is_ready(ports: NodePorts) -> bool:
    """Whether it serves."""
    try:
        return (await request(f"127.0.0.1:{ports.http}", "/v1/.well-known/ready")).status == 200
    except OSError:
        return False
