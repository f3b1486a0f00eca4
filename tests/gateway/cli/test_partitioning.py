"""`mcp-gateway db partition`, as a shell sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.gateway.cli.shell import Shell
from tests.support.engines import Engines, params


def test_the_embedded_database_has_no_parts(shell: Shell) -> None:
    shell.write("  {}\n")
    shell.run("db", "upgrade")
    code, printed, complaints = shell.run("db", "partition")
    assert (code, printed) == (2, "")
    assert "SQLite has no partitions; `db purge` removes row by row, which needs none" in complaints


class TestOnAServer:
    @pytest.fixture(params=params("mariadb", "mysql", "postgresql"))
    def engine(self, request: pytest.FixtureRequest, shell: Shell, engines: Engines) -> Iterator[str]:
        engine = engines[request.param]
        url = asyncio.run(engine.migrated())
        shell.file.write_text(f"database: {{url: '{url}'}}\nservers: {{}}\n")
        yield request.param
        asyncio.run(engine.drop(url))

    def test_a_dry_run_says_what_would_go_and_changes_nothing(self, shell: Shell, engine: str) -> None:
        for _ in range(2):
            code, printed, complaints = shell.run("db", "partition", "--dry-run")
            assert (code, complaints) == (0, "")
            assert "server_calls: to be cut into days, with created_at in its primary key\n" in printed
            dropped = printed.count("  - drop the foreign key fk_server_calls_")
            assert dropped == (0 if engine == "postgresql" else 3)

    def test_foreign_keys_go_only_when_they_are_named(self, shell: Shell, engine: str) -> None:
        code, printed, complaints = shell.run("db", "partition")
        if engine != "postgresql":
            assert (code, "say --drop-foreign-keys; nothing was changed" in complaints) == (1, True)
            code, printed, complaints = shell.run("db", "partition", "--drop-foreign-keys")
        assert (code, complaints) == (0, "")
        parts = 9 if engine == "postgresql" else 10  # PostgreSQL keeps today together with what is older
        assert f"server_calls: {parts} parts\n" in printed
        code, printed, complaints = shell.run("db", "partition")
        assert (code, complaints) == (0, "")
        assert f"server_calls: cut into {parts} parts; the days ahead are made where they are missing\n" in printed
        assert shell.run("db", "status")[0] == shell.run("calls", "verify")[0] == 0
