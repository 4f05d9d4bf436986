"""Settings of the guard."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator

from services.mesh.settings import MeshSettings

_HERE = Path(__file__).parent
# Settings of an earlier release, and the field of the policy that each has become.
_MOVED = {
    "guard_block_score": "thresholds.block",
    "guard_flag_score": "thresholds.flag",
    "guard_log_text": "log_text",
    "guard_max_question_characters": "max_question_characters",
    "guard_release_unverified": "release_unverified",
}


class GuardSettings(MeshSettings):
    """What the guard is told at start, beside what every service is told."""

    assistant_dir: Path = Path("corpus/assistants")
    """Folder of the assistants' reviewed texts (`services.mesh.assistant`)."""

    guard_policy_dir: Path | None = None
    """Folder of the policies, one YAML file an assistant (`guard/v1/policy.proto`). None: `guard` in `assistant_dir`."""

    guard_rules_dir: Path = _HERE / "rules"
    """Folder of the rules, one YAML file a category."""

    guard_cache_dir: Path | None = None
    """Folder of compiled rules, shared by all meshes of a user. None: `ragmesh` in `XDG_CACHE_HOME` or in `~/.cache`."""

    guard_small_talk_dir: Path = _HERE / "understanding" / "small_talk"
    """Folder of the small talk phrases, one YAML file a language."""

    guard_intent_seconds: Annotated[float, Field(gt=0, le=5)] = 0.1
    """Longest wait for the model that tells small talk from questions; then the phrases decide."""

    guard_claim_seconds: Annotated[float, Field(gt=0, le=30)] = 1.0
    """Longest wait for the verifier, for the claims of one segment; then UNVERIFIED. `OutputBudgets.per_claim` overrules it."""

    guard_document_threads: Annotated[int, Field(ge=1, le=32)] = 1
    """Threads that judge passages of documents, so that an import does not hold up questions."""

    guard_log_megabytes: Annotated[float, Field(gt=0, le=1024)] = 16
    """Size of a file of the security log; there are at most eight of them."""

    guard_block_score: None = None
    """Of an earlier release, as the four below: `thresholds.block` of the policy says it now."""
    guard_flag_score: None = None
    guard_log_text: None = None
    guard_max_question_characters: None = None
    guard_release_unverified: None = None

    @field_validator(*_MOVED, mode="before")
    @classmethod
    def _moved(cls, value: Any, info: ValidationInfo) -> None:
        """Silence about a setting that does nothing any more would weaken a guard that somebody had made strict."""
        if value is not None:
            raise ValueError(f"is said by the policy of an assistant now: {_MOVED[str(info.field_name)]} (docs/guard.md)")

    @property
    def policy_dir(self) -> Path:
        """Folder of the policies."""
        return self.guard_policy_dir or self.assistant_dir / "guard"

    @property
    def cache_dir(self) -> Path:
        """Folder of compiled rules."""
        if self.guard_cache_dir is not None:
            return self.guard_cache_dir
        # The specification has a relative path ignored.
        named = Path(os.environ.get("XDG_CACHE_HOME", ""))
        if named.is_absolute():
            return named / "ragmesh"
        try:
            return Path.home() / ".cache" / "ragmesh"
        except RuntimeError:  # an account without a home
            return self.data_dir / "cache"
