"""Legacy sessions of clients: what their sealed ids cannot say, foremost that they have ended."""

from __future__ import annotations

from sqlalchemy import Column, Integer

from storage.migrations.steps import Shape, create
from storage.types import Instant, uid

revision = "gateway_0005"
down_revision = "gateway_0004"


def upgrade() -> None:
    create("client_sessions", client_sessions())


def client_sessions() -> Shape:
    return Shape(
        columns=[
            Column("sid", uid(), primary_key=True),
            Column("user_id", Integer, nullable=False),
            Column("ended_at", Instant),
            Column("expires_at", Instant, nullable=False),
        ],
        keys=[("expires_at",)],
    )
