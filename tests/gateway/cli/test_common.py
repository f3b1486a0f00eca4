"""Where commands get their configuration and their database."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from gateway.cli.common import configuration, database_in, database_of, environment, opened
from gateway.config import ConfigErrors
from storage import registry
from storage.errors import SchemaOutdated
from tests.support.engines import Engines, params


def written(path: Path, text: str | bytes) -> str:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def refused(file: str) -> str:
    with pytest.raises(ConfigErrors) as error:
        configuration(file)
    return str(error.value)


class TestTheFile:
    def test_that_is_missing_is_told(self, tmp_path: Path) -> None:
        file = str(tmp_path / "gone.yaml")
        assert refused(file) == f"{file}: cannot be read: No such file or directory; --config names another file"

    def test_that_is_a_folder_is_told(self, tmp_path: Path) -> None:
        assert "cannot be read: Is a directory" in refused(str(tmp_path))

    def test_that_is_no_utf8_is_told_with_its_line(self, tmp_path: Path) -> None:
        file = written(tmp_path / "c.yaml", "servers: {}\n# 时间\n".encode("gbk"))
        assert refused(file) == f"{file}:2:1: is no UTF-8 text here; save the file as UTF-8"

    def test_may_have_a_byte_order_mark_and_windows_line_ends(self, tmp_path: Path) -> None:
        file = written(tmp_path / "c.yaml", b"\xef\xbb\xbflisten:\r\n  port: 81\r\nservers: {}\r\n")
        assert configuration(file).listen.port == 81

    def test_takes_flags(self, tmp_path: Path) -> None:
        file = written(tmp_path / "c.yaml", "listen: {port: 81}\nservers: {}\n")
        assert configuration(file, {("listen", "port"): "82"}).listen.port == 82


class TestTheEnvironment:
    def test_is_that_of_the_process_over_the_dotenv_beside_the_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FROM_BOTH", "process")
        written(tmp_path / ".env", "FROM_BOTH=dotenv\nFROM_DOTENV=yes\n")
        found = environment(str(tmp_path / "c.yaml"))
        assert (found["FROM_BOTH"], found["FROM_DOTENV"]) == ("process", "yes")

    def test_fills_in_variables_and_secret_files(self, tmp_path: Path) -> None:
        secret = written(tmp_path / "secret", "hunter2\n")
        written(tmp_path / ".env", f"DOCS_TOKEN_FILE={secret}\n")
        file = written(tmp_path / "c.yaml", "servers: {a: {url: 'https://h', headers: {X-K: '${DOCS_TOKEN}'}}}")
        assert configuration(file).servers["a"].headers == {"X-K": "hunter2"}

    @pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
    def test_waits_for_no_secret_that_is_not_in_a_file(self, tmp_path: Path, kind: str) -> None:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        secret = {"folder": str(tmp_path), "pipe": str(pipe), "device": "/dev/zero"}[kind]
        written(tmp_path / ".env", f"DOCS_TOKEN_FILE={secret}\n")
        file = written(tmp_path / "c.yaml", "servers: {a: {url: 'https://h', headers: {X-K: '${DOCS_TOKEN}'}}}")
        assert f"DOCS_TOKEN_FILE names {secret}, which cannot be read: it is no regular file" in refused(file)

    def test_that_never_ends_is_told(self) -> None:
        assert refused("/dev/zero").startswith("/dev/zero: cannot be read: it is larger than")

    def test_of_a_broken_dotenv_is_told(self, tmp_path: Path) -> None:
        dotenv = written(tmp_path / ".env", "nonsense\n")
        assert refused(written(tmp_path / "c.yaml", "servers: {}")).startswith(f"{dotenv}:1:1: is no assignment")


class TestTheDatabase:
    def test_that_cannot_be_is_told_with_its_line_and_without_its_password(self, tmp_path: Path) -> None:
        file = written(tmp_path / "c.yaml", "servers: {}\ndatabase:\n  url: oracle://u:hunter2@h/d\n")
        for opening in (lambda: database_of(configuration(file)), lambda: database_in(file)):
            with pytest.raises(ConfigErrors) as error:
                opening()
            assert str(error.value).startswith(f"{file}:3:8: database.url names the unknown engine 'oracle'")
            assert "hunter2" not in str(error.value)

    def test_that_lacks_its_driver_is_told_with_what_to_install(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "asyncpg", None)  # as if it were not installed
        file = written(tmp_path / "c.yaml", "database: {url: 'postgresql://u:hunter2@h/d'}\n")
        with pytest.raises(ConfigErrors) as error:
            database_in(file)
        assert str(error.value) == (
            f"{file}:1:17: database.url names postgresql, whose driver asyncpg is not installed: "
            "pip install 'mcp-gateway[postgresql]'"
        )

    async def test_that_is_embedded_is_brought_up_to_date(self, tmp_path: Path) -> None:
        file = written(tmp_path / "c.yaml", f"database: {{url: 'sqlite:///{tmp_path}/x.db'}}\nservers: {{}}\n")
        async with opened(database_in(file)) as database:
            assert await registry.load(database) == ()

    @pytest.mark.parametrize("name", params("mariadb", "mysql", "postgresql"))
    async def test_that_is_a_server_is_upgraded_by_its_own_command_alone(
        self, engines: Engines, name: str, tmp_path: Path
    ) -> None:
        url = await engines[name].empty()
        file = written(tmp_path / "c.yaml", f"database: {{url: '{url}'}}\nservers: {{}}\n")
        with pytest.raises(SchemaOutdated, match="mcp-gateway db upgrade"):
            async with opened(database_in(file)):
                pass
        await engines[name].drop(url)
