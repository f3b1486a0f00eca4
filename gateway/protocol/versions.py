"""The revisions of MCP that the gateway speaks, and their two eras.

Which question: which revision do we speak with this peer? Pure. The rule: revisions are a closed list; a date that
is not in it is compared with nothing.

MCP 2026-07-28 `basic/versioning`, MCP 2025-11-25 `basic/lifecycle` (Version Negotiation).
"""

from __future__ import annotations

from enum import StrEnum

LEGACY_VERSIONS = ("2025-03-26", "2025-06-18", "2025-11-25")
"""Revisions with a handshake that we speak, oldest first."""

MODERN_VERSIONS = ("2026-07-28",)
"""Revisions in which every request speaks for itself, oldest first."""

SUPPORTED = (*reversed(MODERN_VERSIONS), *reversed(LEGACY_VERSIONS))
"""What we tell clients that we speak, newest first."""

HANDSHAKE_VERSIONS = frozenset({"2024-11-05", *LEGACY_VERSIONS})
"""Every revision ever released that begins with `initialize`, ours or not."""

ASSUMED_VERSION = "2025-03-26"
"""The revision of a legacy request that names none (MCP 2025-11-25 `basic/transports`, Protocol Version Header)."""


class Era(StrEnum):
    """`modern` is 2026-07-28 and later; `legacy` is whatever begins with `initialize`."""

    LEGACY = "legacy"
    MODERN = "modern"


def negotiate(requested: str) -> str:
    """Our answer to an `initialize` that asks for `requested`: the same, or the newest that we have."""
    return requested if requested in LEGACY_VERSIONS else LEGACY_VERSIONS[-1]
