"""The configuration's words: what an admin may say in config.yaml, with defaults.

Which question: which keys exist, of which type, within which bounds? Pure. The rule: every key has a description
(it becomes the JSON Schema for editors and the reference in docs/configuration.md), and unknown keys are errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from health.settings import HealthSettings
from storage.settings import (
    AGE_PATTERN,
    SIZE_PATTERN,
    DatabaseSettings,
    RecordingSettings,
    RetentionSettings,
    ServerRecording,
    ServerRetention,
)

SLUG_PATTERN = "^[a-z][a-z0-9-]{0,23}$"
HEX_PATTERN = "^[0-9a-f]{64}$"
PATTERNS: Mapping[str, str] = {
    SLUG_PATTERN: "a lower-case letter and up to 23 lower-case letters, digits or hyphens",
    HEX_PATTERN: "64 hexadecimal digits in lower case",
    AGE_PATTERN: "forever, or a whole number and one of h, d, w, y, such as 90d",
    SIZE_PATTERN: "a whole number and one of MB, GB, TB, such as 20GB",
}
"""What a pattern means, in words."""

GroupName = Annotated[str, Field(pattern=SLUG_PATTERN)]
Names = Literal["prefixed", "original"]

READ_ONLY: JsonDict = {"readOnly": True}
"""Marks a field that no file sets."""


class Section(BaseModel):
    """A group of keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Listen(Section):
    """`listen:`"""

    host: str = Field("127.0.0.1", description="address to bind")
    port: int = Field(8080, ge=0, le=65535, description="port to bind; 0 lets the system choose")
    hosts: tuple[str, ...] = Field(
        (), description="Host names that clients may use beside the bound address; `*` for any"
    )
    origins: tuple[str, ...] = Field(
        (), description="browser origins that may call beside those of the names that are served; `*` for any"
    )
    unauthenticated: bool = Field(
        False,
        description="say `true` to listen beyond loopback without authentication: anyone who reaches the port may call",
    )


class Aggregate(Section):
    """`aggregate:`, the endpoint `/mcp` in front of all servers"""

    names: Names = Field(
        "prefixed",
        description="`prefixed`: names and URIs begin with their server's slug; `original`: they are the servers' own, "
        "and one that several servers offer is that of the server earlier in the file",
    )


class ApiKey(Section):
    """One entry of `auth.keys:`"""

    name: str = Field(min_length=1, max_length=64, description="the key's name in records and logs")
    user: str = Field(min_length=1, max_length=50, description="the user whose calls these are")
    sha256: str = Field(pattern=HEX_PATTERN, description="SHA-256 of the key, hexadecimal; `mcp-gateway key` makes one")
    admin: bool = Field(False, description="true lets its bearer see the calls of all users at `/api/calls`")


class Auth(Section):
    """`auth:`"""

    keys: tuple[ApiKey, ...] = Field(
        (), description="API keys, sent by clients as `Authorization: Bearer` or `X-API-Key`"
    )


class Limits(Section):
    """`limits:`"""

    request_bytes: int = Field(16_777_216, ge=1_024, description="bytes of a client's request at most")
    request_seconds: float = Field(60.0, gt=0, description="seconds a client may take to send a request's body")
    idle_connection: float = Field(
        75.0,
        gt=0,
        description="seconds a client's connection may go without a whole request head; longer than those for which a "
        "proxy in front keeps idle connections",
    )
    response_bytes: int = Field(67_108_864, ge=1_024, description="bytes of one message from a server at most")
    header_bytes: int = Field(16_384, ge=4_096, description="bytes of a request's header block at most")
    depth: int = Field(128, ge=8, le=512, description="levels of nesting in a JSON text at most")
    sessions: int = Field(10_000, ge=1, description="legacy client sessions kept at most")
    stalled_reader: float = Field(
        30.0, gt=0, description="seconds a client may leave its stream unread before it is cut"
    )


class Timeouts(Section):
    """`timeouts:`, for all servers or for one. Seconds."""

    connect: float = Field(5.0, gt=0, description="to open a connection or start a child")
    first_byte: float = Field(60.0, gt=0, description="from the request to the first byte of the answer")
    idle: float = Field(60.0, gt=0, description="between two messages of an answer; progress refreshes it")
    absolute: float = Field(600.0, gt=0, description="for a whole call, progress or not")
    answer: float = Field(
        1_800.0,
        gt=0,
        description="for a client's answers to what the server asks during one call, on top of the other timeouts",
    )


class Metrics(Section):
    """`metrics:`"""

    listen: str | None = Field(
        None, description="host:port of a listener of its own for /metrics, open to whoever reaches it"
    )


class Lifecycle(Section):
    """`lifecycle:`"""

    grace: float = Field(20.0, ge=0, description="seconds that calls in flight may still take at shutdown")
    session_idle: float = Field(
        1_800.0, gt=0, description="seconds after which an unused legacy session frees its memory"
    )
    child_idle: float = Field(
        300.0, gt=0, description="seconds after which an unused child of a legacy stdio server is stopped"
    )
    reload_interval: float = Field(1.0, gt=0, description="seconds between two looks at the configuration file")


class Logging(Section):
    """`logging:`"""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="least severity that is logged")
    format: Literal["text", "json"] = Field("text", description="one line of text, or one JSON object, per event")


class Registry(Section):
    """`registry:`"""

    revision: int = Field(
        0,
        ge=0,
        description="number of this version of the file; a file with a lower one than was applied changes nothing",
    )


class ServerSpec(Section):
    """One entry of `servers:`, or of a desktop client's `mcpServers:`; the mapping's key is the name."""

    name: str = Field("", json_schema_extra=READ_ONLY, description="the server's name: the mapping's key")
    slug: str = Field(
        "", pattern=SLUG_PATTERN, description="short stable name for prefixes and paths; derived from the name"
    )
    description: str | None = Field(None, max_length=1_000, description="what the server is for")
    command: str | None = Field(None, min_length=1, description="program to start (stdio)")
    args: tuple[str, ...] = Field((), repr=False, description="its arguments")
    env: dict[str, str] = Field({}, repr=False, description="its environment, beside HOME, LANG, PATH and the like")
    cwd: str | None = Field(None, min_length=1, description="its working directory")
    url: str | None = Field(None, min_length=1, repr=False, description="the server's endpoint (HTTP)")
    headers: dict[str, str] = Field({}, repr=False, description="headers sent with every request to the server")
    forward_headers: tuple[str, ...] = Field(
        (), description="client headers that pass to the server; nothing else does"
    )
    transport: Literal["auto", "stdio", "http", "sse"] = Field(
        "auto", description="how messages travel; detected unless pinned; `sse` is known and refused"
    )
    era: Literal["auto", "legacy", "modern"] = Field("auto", description="protocol era; detected unless pinned")
    enabled: bool = Field(True, description="false takes the server out of every list")
    maintenance: bool = Field(False, description="true refuses calls with a word of explanation and stops probes")
    isolation: Literal["auto", "session", "caller", "shared", "call"] = Field(
        "auto", description="who shares one session with a legacy server; auto: nobody else"
    )
    max_children: int = Field(8, ge=1, le=256, description="children of a legacy stdio server at most")
    concurrency: int = Field(64, ge=1, le=100_000, description="calls in flight to the server at most")
    queue: int = Field(256, ge=0, le=1_000_000, description="calls that wait for a place at most")
    timeouts: Timeouts | None = Field(
        None, description="timeouts of this server; those that are left out are the common ones"
    )
    recording: ServerRecording | None = Field(
        None, description="what is kept of its payloads; what is left out is as for all servers"
    )
    health: HealthSettings | None = Field(
        None, description="probe settings of this server; those that are left out are the common ones"
    )
    retention: ServerRetention | None = Field(
        None, description="how long this server's calls are kept; what is left out is the common one"
    )


class Group(Section):
    """One entry of `groups:`, the endpoint `/groups/NAME/mcp`; the mapping's key is the name"""

    servers: tuple[str, ...] = Field(min_length=1, description="names of the servers that stand behind it")
    names: Names = Field("prefixed", description="as in the section `aggregate`")
    description: str | None = Field(
        None, max_length=1_000, description="what the group is for; clients read it before the servers' instructions"
    )


class Config(Section):
    """config.yaml"""

    listen: Listen = Listen()
    database: DatabaseSettings = DatabaseSettings()
    servers: dict[str, ServerSpec] = Field({}, description="the servers, by name")
    aggregate: Aggregate = Aggregate()
    groups: dict[GroupName, Group] = Field({}, description="endpoints in front of some of the servers, by name")
    auth: Auth = Auth()
    limits: Limits = Limits()
    timeouts: Timeouts = Timeouts()
    health: HealthSettings = HealthSettings()
    recording: RecordingSettings = RecordingSettings()
    retention: RetentionSettings = RetentionSettings()
    metrics: Metrics = Metrics()
    lifecycle: Lifecycle = Lifecycle()
    logging: Logging = Logging()
    registry: Registry = Registry()
