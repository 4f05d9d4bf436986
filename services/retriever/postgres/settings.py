"""Where a PostgreSQL is, and what is asked of it. Knows no driver: whether the address is safe to use is looked at in `target`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class PostgresSettings(BaseModel):
    """One PostgreSQL, and the limits of what is asked of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dsn: str = ""
    """Where it is, as libpq takes it and without a password: `postgresql://ragmesh@db.example.org/ragmesh?sslmode=verify-full`."""
    password_file: Path | None = None
    """File that holds the password, and nothing else; nobody else may read it."""
    pool_size: Annotated[int, Field(ge=1, le=64)] = 8
    """Most connections of one retriever, beside two or three for reading everything."""
    connect_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0
    """How long connecting may take, and waiting for a connection that is free."""
    statement_seconds: Annotated[float, Field(gt=0, le=600)] = 30.0
    """How long one statement may take; a call that has less time left takes less."""
    lock_seconds: Annotated[float, Field(gt=0, le=600)] = 10.0
    """How long a change may wait for those of other retrievers."""
    follow_seconds: Annotated[float, Field(ge=0.05, le=10)] = 0.5
    """How often the changes of other retrievers are looked for."""
