from __future__ import annotations

import hashlib

import pytest
from ruamel.yaml import YAML

from gateway.cli import main
from gateway.settings import Auth


def test_the_key_is_printed_alone_and_the_yaml_admits_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["key", "--name", "ci", "--user", "alice"]) == 0
    printed, advice = capsys.readouterr()
    (entry,) = auth_in(advice).keys
    assert (entry.name, entry.user) == ("ci", "alice")
    assert entry.sha256 == hashlib.sha256(printed.strip().encode()).hexdigest()


def test_an_admins_key_is_one_in_the_yaml_too(capsys: pytest.CaptureFixture[str]) -> None:
    for words, admin in (([], False), (["--admin"], True)):
        assert main(["key", *words]) == 0
        (entry,) = auth_in(capsys.readouterr().err).keys
        assert entry.admin is admin


def test_no_two_keys_are_alike(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        main(["key"])
    first, second = capsys.readouterr().out.split()
    assert first != second


@pytest.mark.parametrize("name", ["null", "yes", "0", "1e5", "a: b", "#", 'say "hi"', "王"])
def test_a_name_stays_a_string_in_yaml_whatever_it_spells(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["key", "--name", name]) == 0
    assert auth_in(capsys.readouterr().err).keys[0].name == name


@pytest.mark.parametrize("arguments", [["--name", ""], ["--name", "a" * 65], ["--user", "a" * 51], ["--user", "a\nb"]])
def test_names_that_the_configuration_would_refuse_are_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["key", *arguments])
    assert ended.value.code == 2
    printed, complaint = capsys.readouterr()
    assert not printed
    assert "printable characters" in complaint


def auth_in(advice: str) -> Auth:
    return Auth.model_validate(YAML(typ="safe").load(advice[advice.index("auth:") :])["auth"])
