"""Which policy is in force for which assistant, and how another takes its place while the guard runs.

All files of the folder are read and put together first, and then take the place of the old ones at once: where one is wrong, it is
refused with line and reason, and what its assistant had stays. Knows neither what is built from a policy nor any text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from watchfiles import awatch

from services.guard.policy.policy import Policy, PolicyError, default_policy, load
from services.mesh import telemetry
from services.mesh.log import get_logger

Built = TypeVar("Built")

_log = get_logger(__name__)
_FORMS = frozenset({".yaml", ".yml", ".json"})
_DEBOUNCE_MILLISECONDS = 200
LOOK_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Reload:
    """What a look at the files did."""

    taken: tuple[str, ...]
    """Assistants that have another policy, or other rules, than before."""
    refused: tuple[str, ...]
    """Reasons, `file:line: reason` each."""


class PolicyStore(Generic[Built]):
    """The policies of a folder, one file `*.yaml` an assistant, and what is built from each.

    Args:
        folder: where the files are. It need not be there: an assistant without a file has the defaults.
        assistants: resource names of the assistants that there are.
        build: makes what judges by a policy, or returns what it made before where nothing that it depends on has changed; it raises
            ValueError, with a place and a reason, where it cannot.
        look_seconds: how often `watch` looks at the files where nothing is said to have changed.

    Raises:
        PolicyError: a file is wrong. At the start there is no old one that could stay.
    """

    def __init__(
        self, folder: Path, assistants: Collection[str], build: Callable[[Policy], Built], *, look_seconds: float = LOOK_SECONDS
    ) -> None:
        self._folder = folder
        self._look_seconds = look_seconds
        self._assistants = tuple(assistants)
        self._build = build
        self._in_force: Mapping[str, tuple[Policy, Built]] = {}
        self._turn = asyncio.Lock()
        self.refusals = 0
        """Files that were refused since the start, each time that they were written."""
        self._refused: frozenset[str] = frozenset()
        """Why files are refused now."""
        found, refused = self._read()
        if refused:
            raise PolicyError(refused[0])
        self._in_force = found

    def current(self, assistant: str) -> Policy:
        """The policy that is in force.

        Raises:
            KeyError: there is no such assistant.
        """
        return self._in_force[assistant][0]

    def built(self, assistant: str) -> Built:
        """What was built from it.

        Raises:
            KeyError: there is no such assistant.
        """
        return self._in_force[assistant][1]

    def everything(self) -> list[tuple[Policy, Built]]:
        """Of each assistant the policy in force, and what was built from it."""
        return list(self._in_force.values())

    async def reload(self, *, changed: bool = True) -> Reload:
        """Read the files again, off the loop, and put in force what is right of them.

        Args:
            changed: whether one of them was written since. Otherwise what was refused before is not told again.
        """
        async with self._turn:
            before = self._in_force
            self._in_force, refused = await asyncio.to_thread(self._read)
        taken = tuple(name for name, (_, built) in self._in_force.items() if built is not before[name][1])
        told = [reason for reason in refused if changed or reason not in self._refused]
        self._refused = frozenset(refused)
        self.refusals += len(told)
        with telemetry.span("guard.policy") as span:
            span.set_attributes({"ragmesh.guard.policies_taken": len(taken), "ragmesh.guard.policies_refused": len(refused)})
            for name in taken:
                policy = self._in_force[name][0]
                _log.info("policy.taken", assistant=name, digest=policy.digest, source=policy.source or None)
            for reason in told:
                _log.error("policy.refused", reason=reason, in_force="the policy before", refusals=self.refusals)
        return Reload(taken, tuple(refused))

    async def watch(self) -> None:
        """Reload whenever a file changes, until cancelled."""
        while True:
            paths = self._watched()
            try:
                # On a timeout too: what changed before the watch began would never be seen otherwise.
                timeout = int(self._look_seconds * 1000)
                async for changes in awatch(*paths, debounce=_DEBOUNCE_MILLISECONDS, yield_on_timeout=True, rust_timeout=timeout):
                    await self.reload(changed=bool(changes))
                    if self._watched() != paths:
                        break
            except (OSError, RuntimeError) as error:
                _log.warning("policy.unwatched", error=str(error))
                await asyncio.sleep(self._look_seconds)
                await self.reload()

    def _watched(self) -> list[Path]:
        found = {self._folder if self._folder.is_dir() else self._folder.parent}
        for policy, _ in self._in_force.values():
            found |= {*policy.rule_folders, *(path.parent for path in policy.allow_lists)}
        return sorted(path for path in found if path.is_dir())

    def _read(self) -> tuple[dict[str, tuple[Policy, Built]], list[str]]:
        """What the files say: by assistant, as far as it is right, and what is wrong."""
        found: dict[str, tuple[Policy, Built]] = {}
        refused: dict[Path, str] = {}
        for path in sorted(path for path in self._folder.glob("*") if path.suffix in _FORMS):
            try:
                policy = load(path)
                if policy.assistant not in self._assistants:
                    raise PolicyError(f"{path}:1: there is no {policy.assistant}")
                if policy.assistant in found:
                    raise PolicyError(f"{path}:1: {policy.assistant} has a policy already, in {found[policy.assistant][0].source}")
                found[policy.assistant] = (policy, self._build(policy))
            except ValueError as error:
                refused[path] = str(error)
        # An allow-list may lie beside the policy that names it; it is none itself.
        for path in {path for policy, _ in found.values() for path in policy.allow_lists}:
            refused.pop(path, None)
        for name in self._assistants:
            if name in found:
                continue
            if refused and name in self._in_force:
                # Its file may be the one that cannot be read: it is wrong, not gone.
                found[name] = self._in_force[name]
            else:
                policy = default_policy(name)
                found[name] = (policy, self._build(policy))
        return found, list(refused.values())
