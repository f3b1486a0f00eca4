"""`mcp-gateway db`, as a shell sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from storage.database import Database
from storage.settings import DatabaseSettings
from tests.gateway.cli.shell import Shell
from tests.support import mcp_chat
from tests.support.engines import Engines, params

NOTHING = "  {}\n"


def test_an_upgrade_makes_an_empty_database_current(shell: Shell) -> None:
    shell.write(NOTHING)
    code, printed, _ = shell.run("db", "status")
    assert (code, "no schema of ours" in printed, "run `mcp-gateway db upgrade`" in printed) == (1, True, True)
    code, printed, complaints = shell.run("db", "upgrade")
    assert (code, "was empty, is up to date now (gateway_" in printed, complaints) == (0, True, "")
    assert "is up to date (gateway_" in shell.run("db", "upgrade")[1]
    assert shell.run("db", "status")[0] == 0


def test_an_adoption_wants_a_word_about_the_backup(shell: Shell) -> None:
    shell.write(NOTHING)
    code, printed, complaints = shell.run("db", "adopt")
    assert (code, printed) == (2, "")
    assert "say --backup FILE or --no-backup, or look first with --dry-run" in complaints


def test_the_embedded_database_is_nothing_to_adopt(shell: Shell) -> None:
    shell.write(NOTHING)
    code, _, complaints = shell.run("db", "adopt", "--dry-run")
    assert (code, "only MySQL and MariaDB have mcp_chat databases" in complaints) == (1, True)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../etc/passwd", ""])
def test_a_zone_that_does_not_exist_is_refused(shell: Shell, zone: str, capsys: pytest.CaptureFixture[str]) -> None:
    shell.write(NOTHING)
    with pytest.raises(SystemExit) as ended:
        shell.run("db", "adopt", "--dry-run", "--timezone", zone)
    assert ended.value.code == 2
    assert f"{zone!r} is no time zone" in capsys.readouterr().err


class TestAdopting:
    @pytest.fixture(params=params("mariadb", "mysql"))
    def url(self, request: pytest.FixtureRequest, engines: Engines) -> Iterator[str]:
        engine = engines[request.param]
        url = asyncio.run(engine.empty())
        asyncio.run(_make(url))
        yield url
        asyncio.run(engine.drop(url))

    @pytest.fixture
    def adopting(self, shell: Shell, url: str) -> Shell:
        shell.file.write_text(f"database: {{url: '{url}'}}\nservers: {{}}\n")
        return shell

    def test_a_dry_run_prints_what_it_found_and_changes_nothing(self, adopting: Shell) -> None:
        for _ in range(2):
            code, printed, complaints = adopting.run("db", "adopt", "--dry-run", "--timezone", "Asia/Shanghai")
            assert (code, complaints) == (0, "")
            assert "rows: 2 in users, 3 in chat_sessions, 3 in chat_messages" in printed
            assert "  - mcp_servers: the rows 2,3 are all named 'docs'" in printed
            assert "  - add to users: public_id" in printed
            assert "adopted" not in printed

    def test_it_is_adopted_once_and_again(self, adopting: Shell, tmp_path: Path) -> None:
        backup = tmp_path / "backup.sql"
        code, printed, complaints = adopting.run("db", "adopt", "--backup", str(backup))
        assert (code, complaints) == (0, "")
        assert f"mysql DATABASE < {backup}" in printed
        assert (
            "filled in: 2 rows of users, 3 rows of chat_sessions, 3 rows of chat_messages, 4 rows of server_calls"
            in printed
        )
        assert backup.read_text("utf-8").endswith("-- complete\n")
        code, printed, _ = adopting.run("db", "adopt", "--no-backup")
        assert (code, "filled in: nothing" in printed) == (0, True)
        assert adopting.run("db", "status")[0] == 0

    def test_an_upgrade_of_it_names_the_command_that_adopts(self, adopting: Shell) -> None:
        code, _, complaints = adopting.run("db", "upgrade")
        assert (code, "`mcp-gateway db adopt`" in complaints) == (2, True)

    def test_what_has_to_be_mended_first_is_listed(self, adopting: Shell, url: str) -> None:
        asyncio.run(_execute(url, "ALTER TABLE mcp_servers DROP COLUMN port", "CREATE TABLE files (id INT)"))
        code, printed, _ = adopting.run("db", "adopt", "--no-backup")
        assert code == 1
        assert "  - mcp_servers.port: there is no such column" in printed
        assert "  - files: the gateway needs a table of that name" in printed
        assert make_url(url).database in printed


async def _make(url: str) -> None:
    db = Database(DatabaseSettings(url=url))
    await mcp_chat.make(db)
    await db.close()


async def _execute(url: str, *statements: str) -> None:
    db = Database(DatabaseSettings(url=url))
    async with db.writing() as connection:
        for statement in statements:
            await connection.exec_driver_sql(statement)
    await db.close()
