"""Catalogs hold prompts, resources and resource templates beside tools."""

from __future__ import annotations

from sqlalchemy import Column

from storage.migrations.steps import Shape, add
from storage.types import long_bytes

revision = "gateway_0006"
down_revision = "gateway_0005"


def upgrade() -> None:
    add("server_catalogs", server_catalogs())


def server_catalogs() -> Shape:
    return Shape(
        columns=[
            Column("prompts", long_bytes()),
            Column("resources", long_bytes()),
            Column("templates", long_bytes()),
        ]
    )
