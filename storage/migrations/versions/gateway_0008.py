"""The newest calls of a tool, of a chat session, and those that ended in one way, are found by an index."""

from __future__ import annotations

from storage.migrations.steps import Shape, add

revision = "gateway_0008"
down_revision = "gateway_0006"


def upgrade() -> None:
    add("server_calls", server_calls())


def server_calls() -> Shape:
    return Shape(keys=[("session_id", "created_at"), ("target", "created_at"), ("outcome", "created_at")])
