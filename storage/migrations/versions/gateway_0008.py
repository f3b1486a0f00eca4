"""The newest calls of a tool, and those that ended in one way, are found by an index."""

from __future__ import annotations

from storage.migrations.steps import Shape, add

revision = "gateway_0008"
down_revision = "gateway_0006"


def upgrade() -> None:
    add("server_calls", server_calls())


def server_calls() -> Shape:
    return Shape(keys=[("target", "created_at"), ("outcome", "created_at")])
