"""Names: a server's slug, and the name under which clients see a tool.

Which question: what is this called out there? Pure. The rule: every derived name depends on its own server (and tool)
alone, so that nothing that is registered later can rename it; routing looks names up and never splits them.

The alphabet and length are what the strictest model APIs accept for a function's name: `^[A-Za-z0-9_-]{1,64}$`.
"""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata

SLUG = re.compile(r"[a-z][a-z0-9-]{0,23}")
"""A whole slug. It holds no underscore, so the first `__` of an exposed name ends the slug."""

RESERVED_SLUGS = frozenset({"all", "gateway", "other"})
"""Words that lists, metrics and the gateway's own names use."""

SEPARATOR = "__"
NUL = "\0"
EXPOSED = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ILLEGAL = re.compile(r"[^A-Za-z0-9_-]")
_NOT_IN_SLUG = re.compile(r"[^a-z0-9]+")
_HASH_LENGTH = 8
_SLUG_LENGTH = 24
_KEPT_OF_SLUG = _SLUG_LENGTH - _HASH_LENGTH - 1
_KEPT_OF_TOOL = 55


def slug_of(name: str) -> str:
    """The slug that follows from a server's name: `Müller Docs 2` → `muller-docs-2`, `3scale` → `s-3scale`.

    A name without a Latin letter becomes `s-` and a hash; one that is too long is cut and gets a hash.
    """
    base = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    words = _NOT_IN_SLUG.sub("-", base.lower()).strip("-")
    if not re.search("[a-z]", words):
        return f"s-{_hash(name)}"
    slug = words if words[0].isalpha() else f"s-{words}"
    return slug if len(slug) <= _SLUG_LENGTH else f"{slug[:_KEPT_OF_SLUG].rstrip('-')}-{_hash(name)}"


def exposed_name(slug: str, tool: str) -> str:
    """What clients of an aggregate call `tool` of the server `slug`.

    `slug__tool` where that is legal; else with `_` for what is not, cut to 55 characters, and with `_` and 8
    characters of a hash of both, so that an altered name never meets another.
    """
    plain = f"{slug}{SEPARATOR}{tool}"
    return plain if EXPOSED.fullmatch(plain) else _altered(plain, slug + NUL + tool)


def function_name(name: str) -> str:
    """What models call the tool that clients know as `name`: the same, or altered as `exposed_name` does."""
    return name if EXPOSED.fullmatch(name) else _altered(name, name)


def _altered(name: str, whole: str) -> str:
    """A legal name that shows what it can of `name` and is told from others by a hash of `whole`."""
    return f"{_ILLEGAL.sub('_', name)[:_KEPT_OF_TOOL]}_{_hash(whole)}"


def _hash(text: str) -> str:
    """8 characters of `a-z2-7`; a lone surrogate of a tool's name counts as itself."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return base64.b32encode(digest)[:_HASH_LENGTH].decode("ascii").lower()
