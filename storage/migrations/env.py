"""Alembic's entry point. storage.migrate passes an open connection, so that the advisory lock covers the run."""

from alembic import context

from storage.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, compare_type=True)
with context.begin_transaction():
    context.run_migrations()
