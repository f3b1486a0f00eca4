"""Calls say by which API key they were made."""

from __future__ import annotations

from sqlalchemy import Column

from storage.migrations.steps import Shape, add
from storage.types import varchar

revision = "gateway_0009"
down_revision = "gateway_0008"


def upgrade() -> None:
    add("server_calls", server_calls())


def server_calls() -> Shape:
    return Shape(columns=[Column("key_name", varchar(64))])
