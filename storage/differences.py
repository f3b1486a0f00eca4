"""An existing database held against the documented one.

Which question: can this database be taken over, and what in it is not as documented? Pure. The rule: what the gateway
can live with is a note and stays as it is; what it cannot live with is a refusal, and says what would mend it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import Column
from sqlalchemy.dialects import mysql

from storage.documented import RELATIONS, ColumnShape, documented
from storage.inspection import Inspection, TableShape
from storage.schema import metadata

VARCHAR = re.compile(r"varchar\((\d+)\)")
CHARSET = re.compile(r" (?:character set|collate) \w+")
WIDER: Mapping[str, tuple[str, ...]] = {
    "float": ("double",),
    "text": ("mediumtext", "longtext"),
    "datetime": tuple(f"datetime({digits})" for digits in range(1, 7)),
}
"""Types that hold whatever the documented one holds."""
ROW_FORMATS = ("Dynamic", "Compressed")
"""The older ones have no room for the keys that are added."""
MAY_BE_UNIQUE = frozenset({("mcp_servers", "name")})
"""Where the gateway never writes one value twice."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One sentence, and whether it forbids the adoption."""

    text: str
    refused: bool = False


def differences(found: Inspection) -> Iterator[Difference]:
    """Everything in `found` that is not as documented."""
    for table, wanted in documented().items():
        if table in found.tables:
            yield from _table(table, found.tables[table])
            for column, shape in wanted.items():
                yield from _column(f"{table}.{column}", shape, found.columns[table].get(column))
            for column in sorted(found.columns[table].keys() - wanted.keys()):
                yield from _unknown(table, column, found.columns[table][column])
        else:
            yield Difference(f"{table}: there is no such table; this is not an mcp_chat database", refused=True)
    yield from _tables(found)
    for table, column, other in RELATIONS:
        if (table, column, other) not in found.references:
            yield Difference(f"{table}.{column}: has no foreign key to {other}.id; left without")


def _table(table: str, shape: TableShape) -> Iterator[Difference]:
    if shape.engine != "InnoDB":
        yield _mend(
            table, f"is kept by {shape.engine}, which has no transactions", f"ALTER TABLE {table} ENGINE=InnoDB"
        )
    elif shape.row_format not in ROW_FORMATS:
        remedy = f"ALTER TABLE {table} ROW_FORMAT=DYNAMIC"
        yield _mend(table, f"has the row format {shape.row_format}, too small for the new keys", remedy)
    if others := sorted(shape.charsets - {"utf8mb4", "ascii"}):
        remedy = f"ALTER TABLE {table} CONVERT TO CHARACTER SET utf8mb4"
        yield _mend(table, f"holds text in {', '.join(others)}, which cannot hold every character", remedy)


def _column(place: str, wanted: ColumnShape, found: ColumnShape | None) -> Iterator[Difference]:
    table, _, column = place.partition(".")
    if found is None:
        yield Difference(f"{place}: there is no such column; it should be {wanted}", refused=True)
        return
    remedy = f"ALTER TABLE {table} MODIFY COLUMN {column} {wanted}"
    if not _holds(found.type, wanted.type):
        yield _mend(place, f"is {found.type} and not {wanted.type}", remedy)
    elif found.type != wanted.type:
        yield Difference(f"{place}: is {found.type} and not {wanted.type}; left so wide")
    yield from _null(place, wanted, found, remedy)
    yield from _key(place, wanted, found)
    yield from _by_itself(place, wanted, found, remedy)


def _null(place: str, wanted: ColumnShape, found: ColumnShape, remedy: str) -> Iterator[Difference]:
    if found.null and not wanted.null:
        yield Difference(f"{place}: takes NULL; left so")
    elif wanted.null and not found.null and found.default is None:
        yield _mend(place, "takes no NULL and has no default", remedy)


def _key(place: str, wanted: ColumnShape, found: ColumnShape) -> Iterator[Difference]:
    if found.key == wanted.key:
        return
    table, _, column = place.partition(".")
    if wanted.key == "PRI" or found.key == "PRI":
        yield Difference(f"{place}: the primary key of {table} should be id alone", refused=True)
    elif found.key == "UNI" and (table, column) not in MAY_BE_UNIQUE:
        yield Difference(
            f"{place}: is unique, so that rows of the gateway could be refused; drop that key", refused=True
        )
    elif wanted.key is not None and found.key != "UNI":
        yield Difference(f"{place}: has no {'unique ' if wanted.key == 'UNI' else ''}key; left without")


def _by_itself(place: str, wanted: ColumnShape, found: ColumnShape, remedy: str) -> Iterator[Difference]:
    """What the database fills in: who inserts by the documented columns relies on it, and so does the gateway."""
    if wanted.extra == "auto_increment" and found.extra != "auto_increment":
        yield _mend(place, "does not count up by itself", remedy)
    elif wanted.default is not None and found.default is None and not found.null:
        yield _mend(place, f"has no default {wanted.default}", remedy)
    elif wanted.default != found.default:
        yield Difference(f"{place}: has the default {found.default} and not {wanted.default}; left so")
    if wanted.extra == "update" and found.extra != "update":
        yield Difference(f"{place}: is not refreshed by updates; left so, the gateway sets it itself")


def _unknown(table: str, column: str, found: ColumnShape) -> Iterator[Difference]:
    """Columns that the document does not know; one may have the name of a column that the gateway will add."""
    ours = metadata.tables[table].columns.get(column)
    if ours is not None and (wanted := type_of(ours)) != found.type:
        yield Difference(
            f"{table}.{column}: is {found.type}, and the gateway needs a column of that name as {wanted}; rename it",
            refused=True,
        )
    elif found.null or found.default is not None or found.extra:
        yield Difference(f"{table}.{column}: is not documented; {'used' if ours is not None else 'left'} as it is")
    else:
        remedy = f"ALTER TABLE {table} MODIFY COLUMN {column} {found.type} NULL"
        yield _mend(f"{table}.{column}", "is not documented, takes no NULL and has no default", remedy)


def _tables(found: Inspection) -> Iterator[Difference]:
    for table in sorted(found.tables.keys() - documented().keys()):
        if table in metadata.tables:
            yield Difference(f"{table}: the gateway needs a table of that name; rename this one", refused=True)
        else:
            yield Difference(f"{table}: is not documented; left as it is")
    for view in sorted(found.views & metadata.tables.keys() - documented().keys()):
        yield Difference(f"{view}: the gateway needs a table of that name; rename this view", refused=True)


def type_of(column: Column[object]) -> str:
    """The type of one of our columns as `storage.inspection` would find it."""
    kind = CHARSET.sub("", column.type.compile(mysql.dialect()).lower())
    return {"integer": "int", "bool": "tinyint(1)"}.get(kind, kind)


def _holds(found: str, wanted: str) -> bool:
    if found == wanted or found in WIDER.get(wanted, ()):
        return True
    ours, theirs = VARCHAR.fullmatch(wanted), VARCHAR.fullmatch(found)
    return ours is not None and theirs is not None and int(theirs[1]) >= int(ours[1])


def _mend(place: str, what: str, remedy: str) -> Difference:
    return Difference(f"{place}: {what}; first run {remedy}", refused=True)
