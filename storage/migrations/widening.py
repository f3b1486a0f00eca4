"""Making a column of MySQL wider, and nothing else about it different.

Which question: with which definition does MODIFY COLUMN change the type alone? Reads `information_schema`. The rule:
MODIFY forgets whatever it is not told, so that character set, collation, default, counter and comment are repeated
as they are found; an adopted table may have others than ours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlalchemy import Connection, text

from storage.inspection import default_of

VARCHAR = re.compile(r"VARCHAR\((\d+)\)")
FOUND = text(
    "SELECT c.is_nullable, c.column_default, c.extra, c.character_set_name, c.collation_name, t.table_collation,"
    " c.column_comment, c.character_maximum_length"
    " FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)"
    " WHERE table_schema = DATABASE() AND table_name = :table AND c.column_name = :column"
)


@dataclass(frozen=True, slots=True)
class Wider:
    """What a column is to become: at least of `type`, in MySQL's words; taking NULL if `nullable` or as before; with
    `default` if it has none.
    """

    type: str
    nullable: bool = False
    default: str | None = None


def definition(connection: Connection, table: str, column: str, wider: Wider) -> str:
    """What follows `MODIFY COLUMN name`."""
    found = connection.execute(FOUND, {"table": table, "column": column}).one()
    null, default, extra, charset, collation, usual, comment, length = found
    default = default_of(default)
    default = wider.default if default is None else default
    words = (
        _type(wider.type, length),
        f"CHARACTER SET {charset} COLLATE {collation}" if collation != usual and charset else "",
        "NULL" if wider.nullable or null == "YES" else "NOT NULL",
        "" if default is None else f"DEFAULT {_literal(connection, default)}",
        "AUTO_INCREMENT" if "auto_increment" in extra else "",
        f"COMMENT {_literal(connection, comment)}" if comment else "",
    )
    return " ".join(word for word in words if word)


def _type(wanted: str, length: int | None) -> str:
    """Somebody may have made the column wider than we would."""
    match = VARCHAR.fullmatch(wanted)
    return f"VARCHAR({max(int(match[1]), length)})" if match and length else wanted


def _literal(connection: Connection, value: str) -> str:
    return str(connection.execute(text("SELECT QUOTE(:value)"), {"value": value}).scalar_one())
