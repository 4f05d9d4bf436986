"""Where a Weaviate is, and what is asked of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Port = Annotated[int, Field(ge=1, le=65_535)]
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class WeaviateNode(BaseModel):
    """Where one node is reached."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = "127.0.0.1"
    http_port: Port = 8080
    grpc_port: Port = 50051


class WeaviateSettings(BaseModel):
    """One Weaviate: a node, or those of one cluster."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    nodes: Annotated[tuple[WeaviateNode, ...], Field(min_length=1, max_length=16)] = (WeaviateNode(),)
    """Nodes that may be asked; where one does not answer, the next one is."""
    secure: bool = False
    """Whether it is reached over TLS."""
    api_key_file: Path | None = None
    """File that holds its API key, and nothing else."""
    search_seconds: Annotated[float, Field(gt=0, le=60)] = 2.0
    change_seconds: Annotated[float, Field(gt=0, le=600)] = 60.0
    compression: Literal["none", "int8", "rq", "pq"] = "none"
    """How vectors are held in memory: as they are, scalar-quantised to int8, by rotational or by product quantisation. For indexes
    made from now on."""
    ef: Annotated[int, Field(ge=-1, le=4096)] = -1
    """Size of HNSW's candidate list in a search; -1: by the limit of the search."""
    replication_factor: Annotated[int, Field(ge=1, le=9)] = 1
    """Nodes that hold each chunk. For indexes made from now on."""
    consistency: Literal["ONE", "QUORUM", "ALL"] = "QUORUM"
    """How many of them must have taken a change, and answer a search."""

    @model_validator(mode="after")
    def _safe(self) -> WeaviateSettings:
        if not self.secure and any(node.host not in _LOOPBACK for node in self.nodes):
            raise ValueError("a Weaviate beyond this machine is reached over TLS only: set secure")
        return self

    @property
    def api_key(self) -> str:
        """The key; empty where none is set."""
        return self.api_key_file.read_text().strip() if self.api_key_file is not None else ""
