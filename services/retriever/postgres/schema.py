"""Brings the tables of a PostgreSQL to this release, by Alembic; of several retrievers that start at once, one does it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy.pool import NullPool

from services.retriever.truth_schema import TruthUnusable

_MIGRATING = 0x7261676D657369
_SECONDS = 600
"""How long a step may take, and another retriever may wait for it."""


def migrate(target: dict[str, Any]) -> None:
    """Takes the steps that are missing, in one transaction. Blocks.

    Raises:
        TruthUnusable: the tables are those of a later release, or the user may not make any.
        psycopg.Error: the connection was lost.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    engine = sqlalchemy.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(**target), poolclass=NullPool)
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{_SECONDS}s'")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATING})")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError:
        raise TruthUnusable("the tables in PostgreSQL are those of another release: run the release that made them") from None
    except sqlalchemy.exc.DBAPIError as error:
        if isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
            raise TruthUnusable(
                "the user of PostgreSQL may not make tables: let it own the database (ALTER DATABASE ... OWNER TO ...)"
            ) from None
        if isinstance(error.orig, psycopg.errors.DuplicateTable):
            raise TruthUnusable("the database has tables of something else: give the documents a database of their own") from None
        if isinstance(error.orig, psycopg.Error):
            raise error.orig from None
        raise
    finally:
        engine.dispose()
