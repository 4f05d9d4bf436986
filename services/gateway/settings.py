"""Settings of the gateway. What every service has is in `services.mesh.settings`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from services.mesh.settings import MeshSettings

Seconds = Annotated[float, Field(gt=0, le=86_400)]


class GatewaySettings(MeshSettings):
    """What the gateway is told at start."""

    assistant_dir: Path = Path("corpus/assistants")
    """Folder of the assistants' files."""

    default_assistant: str = "assistants/default"
    """Who answers where a question names nobody."""

    turn_seconds: Seconds = 60.0
    """Time for a turn whose asker sets no deadline."""

    turn_cap_seconds: Seconds = 110.0
    """Most time that a turn gets. Below the edge's wall of 120 s, which cuts without a word."""

    turn_reserve_seconds: Seconds = 0.5
    """How long before the deadline a turn ends by itself, so that `finished` still reaches the reader."""

    abandon_seconds: Seconds = 10.0
    """After this long without a reader a turn is stopped."""

    lease_seconds: Annotated[float, Field(ge=2, le=600)] = 6.0
    """How long a turn is its owner's without renewal, once a second. After it, any process ends the turn as interrupted."""

    resume_seconds: Seconds = 600.0
    """How long after its end a turn can be resumed event by event, and keeps the text of its passages."""

    heartbeat_seconds: Seconds = 10.0
    """Silence after which a reader gets a heartbeat."""

    retention_days: Annotated[int, Field(ge=1, le=3650)] = 30
    """Days after which an unused conversation of a visitor without a login is deleted."""

    session_days: Annotated[int, Field(ge=1, le=365)] = 30
    """Days that an anonymous session lasts."""

    questions_per_minute: Annotated[int, Field(ge=1, le=10_000)] = 30
    """Questions that one visitor may ask a minute."""

    max_turns: Annotated[int, Field(ge=1, le=10_000)] = 500
    """Turns that a conversation may have."""

    max_conversations: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    """Conversations that are kept of one person; the longest unused goes first."""

    passages: Annotated[int, Field(ge=1, le=64)] = 8
    """Passages that a turn reads."""

    window_tokens: Annotated[int, Field(ge=512, le=65_536)] = 8192
    """Tokens that system text, history, question, evidence and answer may have together."""

    answer_tokens: Annotated[int, Field(ge=16, le=8192)] = 512
    """Tokens of the window that are kept free for the answer."""

    search_again: bool = True
    """Whether a search that falls short is made once more, with the question put differently."""

    max_segments: Annotated[int, Field(ge=1, le=16)] = 3
    """Sentences that an answer has at most."""
