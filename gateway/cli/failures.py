"""How a command ends when it cannot do what it was asked: one line for the user, and an exit code for the shell."""

from __future__ import annotations


class CommandError(Exception):
    """The message is one line: what, where, what to do."""

    exit_code = 1


class Failed(CommandError):
    """It was asked rightly and did not work."""


class Misused(CommandError):
    """What was asked, or a file that it names, is wrong."""

    exit_code = 2
