"""How a command reaches the mesh: the address of the one that runs here, a channel to it, and its errors in words.

Knows no call in particular.
"""

from __future__ import annotations

import os
from pathlib import Path

import grpc

from cli.errors import CliError
from cli.parts.run_state import MeshState, layout, read_state
from services.mesh.errors import MeshError

TARGET_VARIABLE = "RAGMESH_TARGET"
_MAX_MESSAGE_BYTES = 16 * 1024 * 1024


def running_mesh(var_dir: Path) -> MeshState:
    """What the mesh of a var folder says about itself.

    Raises:
        CliError: none runs.
    """
    state = read_state(layout(var_dir))
    if state is None or not state.grpc_target:
        raise CliError(f"No mesh runs in {layout(var_dir).root}.", "Start one with `ragmesh up`, or name its folder with --var.")
    return state


def find_target(target: str | None, var_dir: Path) -> str:
    """Address of plain gRPC: the one that was given, the one of RAGMESH_TARGET, or that of the mesh that runs in `var_dir`.

    Raises:
        CliError: there is none.
    """
    return target or os.environ.get(TARGET_VARIABLE) or running_mesh(var_dir).grpc_target


def open_channel(target: str) -> grpc.aio.Channel:
    """A channel to the local listener; it connects when it is first used."""
    options = [
        ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
    ]
    return grpc.aio.insecure_channel(target, options=options)


def in_words(error: MeshError, target: str) -> CliError:
    """A typed error of the mesh as a person reads it."""
    remedies = {
        "SERVICE_UNAVAILABLE": f"Is the mesh at {target} up? `ragmesh doctor` checks every part.",
        "MODEL_UNAVAILABLE": "The model server may be starting again: try once more, or see var/log/triton.log.",
        "DEADLINE_EXCEEDED": "Try again; --timeout gives it longer.",
        "OVERLOADED": "Try again in a moment.",
        "RATE_LIMITED": "Try again in a moment.",
        "PERMISSION_DENIED": "This needs the local listener (port 8081), where the caller is the owner of the machine.",
    }
    violations = "; ".join(f"{field}: {description}" for field, description in error.violations)
    message = f"{error.message}{f' ({violations})' if violations else ''} [{error.reason}]"
    return CliError(message, remedies.get(error.reason, ""), exit_code=1 if not error.retryable else 3)
