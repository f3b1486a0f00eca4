"""`mcp-gateway key`: a new API key, and the lines of config.yaml that let its bearer in.

Which question: how does an admin make a key that the gateway never has to know? Touches the system's randomness. The
rule: the key is printed once and kept nowhere; the configuration holds its SHA-256.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import secrets
import sys
from collections.abc import Callable
from typing import Any

KEY_PREFIX = "mcpgw_"
"""Lets people and secret scanners recognise a key of ours."""
KEY_BYTES = 32
LONGEST = {"name": 64, "user": 50}
"""Characters, as `auth.keys` of the configuration allows them."""


def add_parser(subparsers: Any) -> None:
    """Add `key` to the command line."""
    parser = subparsers.add_parser(
        "key",
        help="make an API key",
        description="Make a random API key. It is printed once; config.yaml holds only its SHA-256.",
    )
    parser.add_argument("--name", default="default", type=_word("name"), help="the key's name in records and logs")
    parser.add_argument("--user", default="local", type=_word("user"), help="the user whose calls these are")
    parser.add_argument("--admin", action="store_true", help="let its bearer see the recorded calls of all users")
    parser.set_defaults(handler=make)


def make(arguments: argparse.Namespace) -> int:
    """Print the key to stdout, and what to do with it to stderr, so that `$(mcp-gateway key)` is the key alone."""
    key = KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)
    print(key, flush=True)
    print(advice(key, arguments.name, arguments.user, admin=arguments.admin), file=sys.stderr)
    return 0


def advice(key: str, name: str, user: str, *, admin: bool = False) -> str:
    """How clients send `key`, and the lines of YAML that admit its bearer."""
    digest = hashlib.sha256(key.encode("ascii")).hexdigest()
    return (
        "\nThis is shown once. Clients send it as `Authorization: Bearer <key>`;\n"
        "`mcp-gateway call` reads it from MCP_GATEWAY_KEY. Add to config.yaml:\n\n"
        "auth:\n"
        "  keys:\n"
        f"    - name: {_quoted(name)}\n"
        f"      user: {_quoted(user)}\n"
        f'      sha256: "{digest}"' + ("\n      admin: true" if admin else "")
    )


def _quoted(text: str) -> str:
    """A YAML scalar that is a string whatever it spells: JSON's quoting is YAML's (YAML 1.2 §7.3.1)."""
    return json.dumps(text, ensure_ascii=False)


def _word(field: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not text.isprintable() or not 1 <= len(text) <= LONGEST[field]:
            raise argparse.ArgumentTypeError(f"{text!r}: 1 to {LONGEST[field]} printable characters")
        return text

    return parse
