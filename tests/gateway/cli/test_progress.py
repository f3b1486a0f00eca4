"""A bar for work that takes a while."""

from __future__ import annotations

import io

import pytest

from gateway.cli.progress import Bar, clock_time, line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")


def test_it_says_how_far_how_fast_and_how_long_still() -> None:
    assert line(0.5, 5_000, "calls", 10.0) == "━━━━━━━━━━━━━━╸               50%  5,000 calls  500/s  0:10 left"
    assert line(1.0, 7, "calls", 0.5) == "━━━━━━━━━━━━━━━━━━━━━━━━━━━━ 100%  7 calls  14/s"
    assert line(0.0, 0, "calls", 0.0) == "╸                              0%  0 calls  0/s"
    assert len({len(line(share / 100, 1, "calls", 0.5)) for share in range(101)}) == 1


@pytest.mark.parametrize(("seconds", "shown"), [(7, "0:07"), (750, "12:30"), (3_723, "1:02:03")])
def test_times_are_read_at_a_glance(seconds: float, shown: str) -> None:
    assert clock_time(seconds) == shown


def test_it_redraws_its_line_ten_times_a_second_at_most_and_leaves_it_empty() -> None:
    stream, clock = Terminal(), Clock()
    bar = Bar("calls", stream, clock)
    for _ in range(20):
        bar.update(0.5, 1)
        clock.now += 0.06
    assert stream.getvalue().count("\r\x1b[2K") == 10
    assert "\n" not in stream.getvalue()
    bar.close()
    assert stream.getvalue().endswith("\r\x1b[2K")


def test_who_is_no_terminal_sees_nothing() -> None:
    stream = io.StringIO()
    bar = Bar("calls", stream)
    bar.update(0.5, 1)
    bar.close()
    assert stream.getvalue() == ""
