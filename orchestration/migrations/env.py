"""How Alembic reaches the warehouse: over the connection that `migrate` hands it."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, version_table_schema="ops")
with context.begin_transaction():
    context.run_migrations()
