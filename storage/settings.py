"""Settings of storage, as admins write them under `database:`, `recording:` and `retention:`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

AGE_PATTERN = "^(forever|[1-9][0-9]{0,3}[hdw]|[1-9][0-9]?y)$"
SIZE_PATTERN = "^[1-9][0-9]{0,5}(MB|GB|TB)$"


class DatabaseSettings(BaseModel):
    """`database:`"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(
        "sqlite:///mcp_chat.db",
        repr=False,
        description="SQLAlchemy-style URL; sqlite, mysql, mariadb or postgresql; several hosts as `one:3306,two,three`",
    )
    pool_size: int = Field(5, ge=1, le=200, description="connections kept open")
    connect_timeout: float = Field(5.0, gt=0, le=60, description="seconds to wait for a connection")
    foreign_keys: bool = Field(True, description="create the schema with foreign key constraints")


class JournalSettings(BaseModel):
    """`recording.journal:`"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(
        True, description="write each call to a local disk before it is made, and before it is answered"
    )
    path: str | None = Field(
        None,
        min_length=1,
        description="folder of the journals, on a local disk; `<database file>.records`, or `mcp-gateway.records` "
        "beside the configuration, unless given",
    )
    bytes: int = Field(1 << 30, ge=1 << 20, description="room on the disk before new calls are refused")
    segment_bytes: int = Field(1 << 24, ge=1 << 16, le=1 << 30, description="size of one file")
    fsync: Literal["off", "batch", "call"] = Field(
        "batch",
        description="what a machine that loses power may lose: what its kernel had not written, "
        "the last `fsync_interval`, or nothing",
    )
    fsync_interval: float = Field(0.02, gt=0, le=10, description="seconds between two writings to the disk itself")
    keep_committed: float = Field(
        600.0,
        ge=0,
        le=86_400,
        description="seconds that records stay there once they are in the database, in case that loses them",
    )
    on_full: Literal["refuse", "shed"] = Field(
        "refuse",
        description="what a client gets whose call was made and cannot be recorded in any way: an error, or the answer",
    )


class Captured(BaseModel):
    """What is kept of payloads; None: as the next wider words say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    capture: Literal["full", "metadata", "none"] | None = Field(
        None, description="what is kept of payloads: all, sizes and hashes alone, or nothing; full unless given"
    )
    exact: Literal["needed", "always", "never"] | None = Field(
        None, description="when exact bytes are kept beside the JSON column; when needed unless given"
    )
    hide: tuple[str, ...] = Field(
        (), description="JSON paths of values that are never kept, as `$.arguments.password`, `$..token`"
    )


class ToolRecording(Captured):
    """One entry of `servers.NAME.recording.tools:`"""

    name: str = Field(min_length=1, max_length=255, description="the server's own name of the tool; `*` stands for any")


class ServerRecording(Captured):
    """`servers.NAME.recording:`"""

    tools: tuple[ToolRecording, ...] = Field((), description="what holds for some tools; the first that fits counts")


class RecordingSettings(Captured):
    """`recording:`"""

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
    orphan_after: float = Field(
        600.0,
        ge=60,
        le=86_400,
        description="seconds without a sign of life after which another gateway closes a gateway's open calls",
    )
    journal: JournalSettings = Field(
        JournalSettings(), description="where calls are written down until they are in the database"
    )
    redact: bool = Field(True, description="hide authorization-like values before anything is stored")


class RetentionSettings(BaseModel):
    """`retention:`. Ages are whole numbers with a unit (`12h`, `90d`, `8w`, `2y`), or `forever`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    calls: str = Field("forever", pattern=AGE_PATTERN, description="age at which calls that have ended are removed")
    payloads: str = Field(
        "forever", pattern=AGE_PATTERN, description="age at which what they asked and answered is removed from them"
    )
    transitions: str = Field(
        "forever", pattern=AGE_PATTERN, description="age at which the history of servers' states is removed"
    )
    size: str | None = Field(
        None,
        pattern=SIZE_PATTERN,
        description="what all calls may take, such as `20GB`, by estimate; beyond it the oldest are removed, but none "
        "younger than an hour",
    )
    others: bool = Field(
        False,
        description="true also removes calls that another application has written into the table, by the same ages",
    )


class ServerRetention(BaseModel):
    """`servers.NAME.retention:`"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    calls: str | None = Field(None, pattern=AGE_PATTERN, description="as in the section `retention`, for this server")
    payloads: str | None = Field(
        None, pattern=AGE_PATTERN, description="as in the section `retention`, for this server"
    )
