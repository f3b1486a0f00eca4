"""Settings of storage, as admins write them under `database:` and `recording:`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class DatabaseSettings(BaseModel):
    """`database:`"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(
        "sqlite:///mcp_chat.db", repr=False, description="SQLAlchemy-style URL; sqlite, mysql, mariadb or postgresql"
    )
    pool_size: int = Field(5, ge=1, le=200, description="connections kept open")
    connect_timeout: float = Field(5.0, gt=0, le=60, description="seconds to wait for a connection")
    foreign_keys: bool = Field(True, description="create the schema with foreign key constraints")


class RecordingSettings(BaseModel):
    """`recording:`"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    linger: float = Field(0.1, gt=0, le=5, description="seconds a batch waits for more records")
    batch_rows: int = Field(200, ge=1, le=1000, description="records in one transaction at most")
    batch_bytes: int = Field(
        1_000_000, ge=10_000, le=64_000_000, description="payload bytes in one transaction at most"
    )
    inline_bytes: int = Field(65_536, ge=1_024, le=1_048_576, description="bytes of a payload kept in the JSON column")
    payload_bytes: int = Field(1_048_576, ge=0, le=67_108_864, description="bytes of a payload kept at all")
    pending_bytes: int = Field(
        268_435_456, ge=1_000_000, description="bytes of unwritten records before new calls are refused"
    )
    exact: Literal["needed", "always", "never"] = Field(
        "needed", description="when exact bytes are kept beside the JSON column"
    )
    redact: bool = Field(True, description="hide authorization-like values before anything is stored")
