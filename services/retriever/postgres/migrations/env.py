"""What Alembic runs: the steps in `versions`, on the connection that `schema.migrate` gives. Steps are plain SQL."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"], transaction_per_migration=False)
with context.begin_transaction():
    context.run_migrations()
