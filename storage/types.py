"""Column types: how each of our values is kept by SQLite, MySQL, MariaDB and PostgreSQL.

Which question: which type does a column of the schema have on this engine? Touches nothing at run time but the values
that pass through. The rule: a migration that has shipped names these types, so a type never changes its meaning.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Double, Enum, Integer, LargeBinary, SmallInteger, String, Text
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.type_api import TypeEngine
from sqlalchemy.types import TypeDecorator


class Instant(TypeDecorator[datetime]):
    """A moment to the microsecond: aware datetimes in, aware UTC out. A naive datetime raises `ValueError`."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "mysql":
            return mysql.DATETIME(fsp=6)
        if dialect.name == "postgresql":
            return postgresql.TIMESTAMP(timezone=True)
        return sqlite.DATETIME()  # type: ignore[no-untyped-call]

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone: a moment in the database is aware")
        value = value.astimezone(UTC)
        return value if dialect.name == "postgresql" else value.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Second(Instant):
    """A moment to the second, the documented `datetime`. Fractions are cut off here: left to themselves MySQL
    rounds them up and MariaDB cuts.
    """

    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "mysql":
            return mysql.DATETIME()
        if dialect.name == "postgresql":
            return postgresql.TIMESTAMP(timezone=True, precision=0)
        return sqlite.DATETIME(truncate_microseconds=True)  # type: ignore[no-untyped-call]

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        whole = None if value is None else value.replace(microsecond=0)
        return super().process_bind_param(whole, dialect)


class JsonText(TypeDecorator[str]):
    """The engine's JSON type, spoken to in JSON text: `str` (or UTF-8 `bytes`) in, `str` out; None is SQL's NULL.

    MySQL reorders members and turns big integers into doubles; the other engines keep the text.
    """

    impl = JSON(none_as_null=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """SQLite would take a column called JSON for a number's, and turn the text `3` into one."""
        return Text() if dialect.name == "sqlite" else self.impl_instance

    def bind_processor(self, dialect: Dialect) -> Callable[[str | bytes | None], str | None]:
        return _text

    def literal_processor(self, dialect: Dialect) -> Callable[[str], str]:
        raise NotImplementedError("JSON text is bound, never written into a statement")

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[str | bytes | None], str | None]:
        return _text


def varchar(length: int) -> String:
    """Text of at most `length` characters, compared as the database likes. SQLite enforces no lengths, so it is
    told none and never has to rebuild a table for a wider one.
    """
    return String(length).with_variant(sqlite.VARCHAR(), "sqlite")


def name(length: int) -> String:
    """Text whose every byte counts: MySQL's default collations take `bob` and `bób` for `Bob`."""
    return varchar(length).with_variant(mysql.VARCHAR(length, collation="utf8mb4_bin"), "mysql")


def ascii_name(length: int) -> String:
    """A short machine name of ASCII alone."""
    kept = mysql.VARCHAR(length, charset="ascii", collation="ascii_bin")
    return varchar(length).with_variant(kept, "mysql")


def uid() -> String:
    """A UUID as 32 lower-case hexadecimal digits."""
    return varchar(32).with_variant(mysql.CHAR(32, charset="ascii", collation="ascii_bin"), "mysql")


def long_text() -> Text:
    return Text().with_variant(mysql.LONGTEXT(), "mysql")


def long_bytes() -> LargeBinary:
    return LargeBinary().with_variant(mysql.LONGBLOB(), "mysql")


def digest() -> LargeBinary:
    """A SHA-256, 32 bytes."""
    return LargeBinary().with_variant(mysql.BINARY(32), "mysql")


def bigint() -> BigInteger:
    """64 bits; SQLite counts up only in an INTEGER primary key, which has 64 bits there."""
    return BigInteger().with_variant(Integer(), "sqlite")


def tinyint() -> SmallInteger:
    return SmallInteger().with_variant(mysql.TINYINT(), "mysql")


def real() -> Double[float]:
    """The documented `float`: single precision on MySQL, double elsewhere."""
    return Double().with_variant(mysql.FLOAT(), "mysql")


def choice(*words: str) -> Enum:
    """One of `words`: a native ENUM on MySQL; elsewhere text, which the migrations give a CHECK constraint."""
    return Enum(*words, native_enum=False, length=16).with_variant(mysql.ENUM(*words), "mysql")


class Touched(ColumnElement[datetime]):
    """The default of a documented `updated_at`: now, and on MySQL now again at every update."""

    type = Second()
    inherit_cache = True


@compiles(Touched)
def _now(element: Touched, compiler: SQLCompiler, **options: Any) -> str:
    return "CURRENT_TIMESTAMP"


@compiles(Touched, "mysql")
def _now_and_ever_again(element: Touched, compiler: SQLCompiler, **options: Any) -> str:
    return "CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP"


def _text(value: str | bytes | None) -> str | None:
    return value.decode() if isinstance(value, bytes) else value
