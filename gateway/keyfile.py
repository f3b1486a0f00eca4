"""The sealing keys on disk.

Which question: which keys seal what we hand out, and where do they live? Touches one file. The rule: the file is
readable by its owner alone, and is made once; losing it ends the sessions of legacy clients and nothing else.

One key per line, 32 bytes in base64; the first one seals, all of them open. To rotate: put a new line on top.
"""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path

from gateway.errors import GatewayError, Kind
from gateway.sealing import KEY_BYTES


def load_or_make(path: Path, entropy: bytes) -> tuple[bytes, ...]:
    """The keys in `path`, newest first; a missing file is made with `entropy` (32 bytes) as its key.

    Raises `GatewayError` naming the file when it cannot be read, written or understood.
    """
    try:
        return _keys(path, path.read_text("ascii"))
    except FileNotFoundError:
        return _make(path, entropy)
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(path, str(error)) from error


def _make(path: Path, key: bytes) -> tuple[bytes, ...]:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _keys(path, path.read_text("ascii"))  # another process was faster
    except OSError as error:
        raise _unusable(path, str(error)) from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(base64.b64encode(key) + b"\n")
    return (key,)


def _keys(path: Path, text: str) -> tuple[bytes, ...]:
    try:
        keys = tuple(base64.b64decode(line, validate=True) for line in text.split())
    except binascii.Error as error:
        raise _unusable(path, "a line is no base64") from error
    if not keys or any(len(key) != KEY_BYTES for key in keys):
        raise _unusable(path, f"it must hold keys of {KEY_BYTES} bytes, one per line, in base64")
    return keys


def _unusable(path: Path, why: str) -> GatewayError:
    return GatewayError(Kind.INTERNAL, f"sealing keys {path}: {why}; mend the file, or remove it to make a new one")
