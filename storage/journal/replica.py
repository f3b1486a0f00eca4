"""Which installation this is.

Which question: are these the journals of a gateway that ran here before? Touches one file. The rule: the id is made
once, and stays beside the journals; a copied folder is a copied identity.
"""

from __future__ import annotations

import os
import re
import uuid
from pathlib import Path

from storage.errors import JournalUnusable

NAME = "replica_id"
_ID = re.compile("[0-9a-f]{32}")


def replica_id(directory: Path) -> str:
    """The id of the installation whose journals are in `directory`: a UUID, 32 hexadecimal digits. Raises
    `JournalUnusable`.
    """
    path = directory / NAME
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _make(path)
        found = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise JournalUnusable(f"{path} cannot be read ({error}): mend that, or remove the file") from error
    if _ID.fullmatch(found) is None:
        raise JournalUnusable(f"{path} holds no id of 32 hexadecimal digits: mend that, or remove the file")
    return found


def _make(path: Path) -> None:
    """In one step, so that of two processes that start together both read the same."""
    made = path.with_name(f"{NAME}.{uuid.uuid4().hex}")
    with made.open("x", encoding="ascii") as file:
        file.write(uuid.uuid4().hex + "\n")
        file.flush()
        os.fsync(file.fileno())
    made.chmod(0o600)
    try:
        os.link(made, path)
    except FileExistsError:
        pass
    finally:
        made.unlink()
