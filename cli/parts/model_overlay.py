"""Models adapted to an owner's documents: weights under `{var}/models/<name>` that lie over those of the release.

Only weights are kept there, never code: what Triton serves is a folder of links, to the release's file where the owner has none. A
set that was made from other weights than the release's of today is not served. Knows nothing of how weights are trained.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

from cli.errors import EXIT_USAGE, CliError
from cli.parts.files import write_atomically

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_ACTIVE = "active"
# Computed from the release's weights; it would lie about others.
_OF_THE_RELEASE_ONLY = frozenset({"parity.json"})


class Lying(BaseModel):
    """One file of weights."""

    sha256: str
    over: str
    """Digest of the release's file that it was adapted from."""


class AdaptedSet(BaseModel):
    """What `adapted.json` says; more stands in it for people."""

    documents: int = 0
    questions: dict[str, int] = {}
    seconds: float = 0.0
    files: dict[str, Lying]
    """`model/1/file` -> its digests."""


@dataclass(frozen=True)
class Overlays:
    """The adapted sets of one mesh."""

    root: Path
    """Folder of the mesh's state."""
    repository: Path
    """The release's model repository."""

    @property
    def folder(self) -> Path:
        return self.root / "models"

    def names(self) -> list[str]:
        """Every set, in the order of names."""
        return sorted(path.parent.name for path in self.folder.glob("*/adapted.json")) if self.folder.is_dir() else []

    def read(self, name: str) -> AdaptedSet:
        """One set.

        Raises:
            CliError: there is none of that name, or its file was altered.
        """
        try:
            return AdaptedSet.model_validate_json((self.folder / name / "adapted.json").read_bytes())
        except FileNotFoundError:
            known = ", ".join(self.names()) or "none"
            raise CliError(f"There are no adapted models called {name}.", f"There are: {known}.", exit_code=EXIT_USAGE) from None
        except (OSError, ValidationError) as error:
            raise CliError(
                f"{self.folder / name / 'adapted.json'} cannot be read.", f"`ragmesh train --discard {name}`."
            ) from error

    def active(self) -> str | None:
        """The set that is served; None: the release's models."""
        try:
            name = (self.folder / _ACTIVE).read_text(encoding="utf-8").strip()
        except OSError:
            return None
        return name if NAME.fullmatch(name) and name in self.names() else None

    def activate(self, name: str | None) -> None:
        """Serves a set from the next start on; None: the release's models."""
        if name is None:
            (self.folder / _ACTIVE).unlink(missing_ok=True)
            return
        self.read(name)
        write_atomically(self.folder / _ACTIVE, f"{name}\n".encode())

    def discard(self, name: str) -> None:
        """Deletes a set; the release's models are served where it was."""
        if name not in self.names():
            self.read(name)
        if self.active() == name:
            self.activate(None)
        shutil.rmtree(self.folder / name)

    def unfit(self, name: str) -> str:
        """Why a set cannot be served, in a few words; empty where it can."""
        for path, lying in self.read(name).files.items():
            own, base = self.folder / name / path, self.repository / path
            if not own.is_file() or _sha256(own) != lying.sha256:
                return f"{path} was altered"
            if not base.is_file() or _sha256(base) != lying.over:
                return f"{path} was made from the weights of another release"
        return ""

    def changes(self, one: str | None, other: str | None, path: str) -> bool:
        """Whether two sets (None: the release) serve different files at `path`."""
        return self._digest(one, path) != self._digest(other, path)

    def _digest(self, name: str | None, path: str) -> str:
        lying = self.read(name).files.get(path) if name else None
        return lying.sha256 if lying else _sha256(self.repository / path)

    def served(self) -> Path:
        """The model repository to serve: the release's, or a folder of links with the active set over it.

        Raises:
            CliError: the active set does not fit this release.
        """
        name = self.active()
        files = self.read(name).files if name else {}
        if not name or not files:
            return self.repository
        reason = self.unfit(name)
        if reason:
            remedy = "Run `ragmesh train` again, or go back with `ragmesh train --use shipped`."
            raise CliError(f"The adapted models {name} do not fit: {reason}.", remedy)
        return self._link(self.folder / name, set(files))

    def _link(self, own: Path, files: set[str]) -> Path:
        """Makes `{var}/triton/adapted` anew: model repository and library beside each other, as Triton's launch wants them."""
        target = self.root / "triton" / "adapted"
        shutil.rmtree(target, ignore_errors=True)
        merged = target / self.repository.name
        merged.mkdir(parents=True)
        (target / "lib").symlink_to(self.repository.parent / "lib", target_is_directory=True)
        adapted = {path.split("/")[0] for path in files}
        for model in sorted(path for path in self.repository.iterdir() if path.is_dir()):
            if model.name not in adapted:
                (merged / model.name).symlink_to(model, target_is_directory=True)
                continue
            for file in sorted(path for path in model.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
                relative = file.relative_to(self.repository)
                if relative.as_posix() in files or relative.name in _OF_THE_RELEASE_ONLY:
                    continue
                _symlink(merged / relative, file)
        for path in files:
            _symlink(merged / path, own / path)
        return merged


def _symlink(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(target.resolve())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
