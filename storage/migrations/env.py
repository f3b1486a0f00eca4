"""Alembic's entry: runs the revisions on the connection that `storage.migrate` hands over.

Which question: on which connection, and under which version table? Touches the database. The rule: the caller owns
the connection and its transaction; nothing is configured from files or the environment.
"""

from __future__ import annotations

from alembic import context

attributes = context.config.attributes

context.configure(
    connection=attributes["connection"],
    version_table=attributes["version_table"],
    foreign_keys=attributes["foreign_keys"],
)
with context.begin_transaction():
    context.run_migrations()
