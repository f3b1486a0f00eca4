"""What all tables have in common: one collection, one way to name things, and the documented times.

Which question: how is a key or a constraint called, and how are times filled in? Descriptions alone. The rule: names
follow from tables and columns, because migrations look for them.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Column, MetaData, text

from storage.types import Second, Touched

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

metadata = MetaData(naming_convention=NAMES)

NOW = text("CURRENT_TIMESTAMP")
ZERO = text("0")


def created() -> Column[datetime]:
    """The documented `created_at`."""
    return Column("created_at", Second, nullable=False, server_default=NOW)


def updated() -> Column[datetime]:
    """The documented `updated_at`: refreshed by MySQL itself, elsewhere by our updates."""
    return Column("updated_at", Second, nullable=False, server_default=Touched(), onupdate=NOW)
