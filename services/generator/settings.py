"""Settings of the generator. What every service has is in `services.mesh.settings`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from services.mesh.settings import MeshSettings


class GeneratorSettings(MeshSettings):
    """What the generator is told at start."""

    assistant_dir: Path = Path("corpus/assistants")
    """Folder of the assistants' files: the reviewed texts."""

    idle_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0
    """Silence of a model after which it counts as dead. A dead model process leaves its stream open."""

    count_seconds: Annotated[float, Field(gt=0, le=10)] = 0.25
    """Most time that counting the tokens of a finished draft may take; over it, the counts are 0."""

    probe_seconds: Annotated[float, Field(gt=0, le=10)] = 2.0
    """Most time that a probe of a model may take before it counts as not ready."""

    generator_engine: Literal["reader", "lexical", "overlap", "first"] = "reader"
    """Which engine of the answerer picks: the cross-encoder where it is installed, or `lexical`, the small and fast one. The other
    two are untrained yardsticks."""

    generator_least_answerability: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Below this probability that the best sentence is right, nothing is answered. 0: the model's own threshold, which refuses 3 %
    of the right ones; docs/search.md says what others cost and gain."""

    max_segments: Annotated[int, Field(ge=1, le=16)] = 3
    """Sentences of a draft where the request does not say."""
