"""Colours on a terminal."""

from __future__ import annotations

import io

import pytest

from gateway.cli.colours import BOLD, PLAIN, RED, Paint


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_them_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert Paint.on(Terminal())(RED, "no") == "\x1b[31mno\x1b[0m"
    assert Paint.on(io.StringIO())(RED, "no") == "no"
    assert (Paint.on(Terminal())(PLAIN, "as it is"), Paint.on(Terminal())(BOLD, "")) == ("as it is", "")


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_whoever_wants_none_gets_none(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv(name, value)
    assert Paint.on(Terminal())(RED, "no") == "no"
