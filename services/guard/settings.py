"""Settings of the guard."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from services.mesh.settings import MeshSettings

_HERE = Path(__file__).parent


class GuardSettings(MeshSettings):
    """What the guard is told at start, beside what every service is told."""

    assistant_dir: Path = Path("corpus/assistants")
    """Folder of the assistants' reviewed texts (`services.mesh.assistant`)."""

    guard_rules_dir: Path = _HERE / "rules"
    """Folder of the rules, one YAML file a category."""

    guard_small_talk_dir: Path = _HERE / "understanding" / "small_talk"
    """Folder of the small talk phrases, one YAML file a language."""

    guard_intent_seconds: Annotated[float, Field(gt=0, le=5)] = 0.1
    """Longest wait for the model that tells small talk from questions; then the phrases decide."""

    guard_max_question_characters: Annotated[int, Field(ge=1, le=16_384)] = 4_000
    """Longest question, in code points; a longer one is blocked with CATEGORY_TOO_LONG."""

    guard_block_score: Annotated[float, Field(gt=0, le=100)] = 1.0
    """A category whose rules sum up to this blocks."""

    guard_flag_score: Annotated[float, Field(gt=0, le=100)] = 0.5
    """A category whose rules sum up to this, but not to the blocking score, is let through and recorded."""

    guard_release_unverified: bool = False
    """Whether composed claims that nothing could verify are released, marked as such, or withheld."""

    guard_document_threads: Annotated[int, Field(ge=1, le=32)] = 1
    """Threads that judge passages of documents, so that an import does not hold up questions."""

    guard_log_text: bool = False
    """Whether the security log has the words that a rule matched. Off: rule, action and request id only."""
