"""The records: a call's row grows its identity, its times and its ends; payloads, journals and tallies get tables."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, SmallInteger, text

from storage.migrations.steps import Columns, Shape, add, create
from storage.migrations.widening import Wider
from storage.types import Instant, Second, digest, long_bytes, name, tinyint, uid, varchar

revision = "gateway_0004"
down_revision = "gateway_0003"

ZERO = text("0")


def upgrade() -> None:
    add("server_calls", server_calls())
    create("server_call_payloads", server_call_payloads())
    create("journals", journals())
    create("call_tallies", call_tallies())


def server_calls() -> Shape:
    return Shape(
        columns=[
            Column("call_uid", uid()),
            Column("record_state", tinyint(), nullable=False, server_default=text("2")),
            Column("outcome", varchar(16)),
            Column("reason", varchar(64)),
            Column("link", varchar(8)),
            Column("method", varchar(64)),
            Column("target", name(255)),
            Column("user_id", Integer),
            Column("api_key_id", Integer),
            Column("client_name", varchar(100)),
            Column("client_version", varchar(50)),
            Column("client_era", varchar(10)),
            Column("server_era", varchar(10)),
            Column("operation_uid", uid()),
            Column("round", SmallInteger, nullable=False, server_default=ZERO),
            Column("attempts", SmallInteger, nullable=False, server_default=text("1")),
            Column("trace_id", uid()),
            Column("started_at", Instant),
            Column("finished_at", Instant),
            Column("total_us", BigInteger),
            Column("upstream_us", BigInteger),
            Column("request_bytes", BigInteger),
            Column("response_bytes", BigInteger),
            Column("journal_id", BigInteger),
            Column("journal_seq", BigInteger),
        ],
        wider={"id": Wider("BIGINT")},
        keys=[
            ("created_at", "id"),
            ("server_id", "created_at"),
            ("user_id", "created_at"),
            ("record_state", "created_at"),
            ("journal_id", "journal_seq"),
        ],
        unique=[("call_uid", "created_at")],
    )


def server_call_payloads() -> Shape:
    columns: Columns = [
        Column("created_at", Second, primary_key=True),
        Column("call_uid", uid(), primary_key=True),
        Column("part", tinyint(), primary_key=True, autoincrement=False),
        Column("body", long_bytes(), nullable=False),
        Column("encoding", varchar(8), nullable=False, server_default="identity"),
        Column("total_bytes", BigInteger, nullable=False),
        Column("sha256", digest(), nullable=False),
    ]
    return Shape(columns=columns)


def journals() -> Shape:
    columns: Columns = [
        Column("id", BigInteger, primary_key=True, autoincrement=False),
        Column("replica_id", uid(), nullable=False),
        Column("worker", SmallInteger, nullable=False),
        Column("opened_at", Instant, nullable=False),
        Column("closed_at", Instant),
        Column("applied_frame", BigInteger, nullable=False, server_default=ZERO),
        Column("started_seq", BigInteger, nullable=False, server_default=ZERO),
        Column("purged", BigInteger, nullable=False, server_default=ZERO),
        Column("set_aside", BigInteger, nullable=False, server_default=ZERO),
    ]
    return Shape(columns=columns, keys=[("replica_id",)])


def call_tallies() -> Shape:
    columns: Columns = [
        Column("hour", Second, primary_key=True),
        Column("server_id", Integer, primary_key=True, autoincrement=False),
        Column("outcome", varchar(16), primary_key=True),
        Column("journal_id", BigInteger, primary_key=True, autoincrement=False),
        Column("calls", BigInteger, nullable=False),
        Column("total_us", BigInteger, nullable=False),
    ]
    return Shape(columns=columns)
