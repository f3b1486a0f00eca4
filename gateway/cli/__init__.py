"""The command line: one word, one command, one line when it fails.

Which question: which command was asked for, and how does its end look to a shell? Touches argv, stdout and stderr.
The rule: a command's module is imported only when the command runs, and no failure reaches the user as a traceback.

A command's module has `add_parser(subparsers)`, which sets `handler` to a callable of the parsed arguments that
returns the exit code, as it is or awaited.
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import io
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib import import_module
from typing import NamedTuple

from gateway import __version__
from gateway.cli.failures import CommandError, Failed, Misused
from gateway.cli.rendering import harmless
from gateway.errors import GatewayError
from storage.errors import DatabaseMisconfigured, SchemaOutdated, StorageError

PROGRAM = "mcp-gateway"
FAILED, MISUSED = Failed.exit_code, Misused.exit_code
INTERRUPTED, PIPE_CLOSED = 128 + signal.SIGINT, 128 + signal.SIGPIPE
"""Exit codes after Ctrl-C, and when nobody reads stdout any more, as shells know them."""


class Command(NamedTuple):
    """What `--help` says of a command, and a line to try it with."""

    summary: str
    example: str


COMMANDS: Mapping[str, Command] = {
    "serve": Command("run the gateway", "--config config.yaml"),
    "call": Command("call a tool through the running gateway", "git__git_log --input @arguments.json"),
    "servers": Command("show the registered servers: state, latency, tools", "--tools"),
    "calls": Command("show recorded calls", "--server time --follow"),
    "check": Command("look for mistakes in a configuration file", "--config config.yaml --connect"),
    "plan": Command("show what a configuration file would change in the registry", "--config config.yaml"),
    "apply": Command("write a configuration file into the registry", "--config config.yaml"),
    "export": Command("print the registry as a configuration file", "> servers.yaml"),
    "db": Command("create, upgrade, adopt or inspect the database", "upgrade --config config.yaml"),
    "key": Command("make an API key", "--name ci --user alice"),
    "version": Command("print the version", ""),
}
"""Every command by its name, which is also the name of its module here."""

EPILOG = f"""\
first steps:
  {PROGRAM} serve --config config.yaml
  {PROGRAM} servers
  {PROGRAM} call time__get_current_time --input '{{"timezone": "Asia/Shanghai"}}'
  {PROGRAM} calls
"""

Handler = Callable[[argparse.Namespace], int | Awaitable[int]]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that `argv` (default: the process's own) asks for. Returns the exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    _print_whatever_comes()
    try:
        arguments = _parsed(words)
        code = _run(arguments.handler, arguments)
        sys.stdout.flush()
        return code
    except SystemExit:
        raise  # argparse has said what there is to say
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _silence_stdout()
        return PIPE_CLOSED
    except CommandError as error:
        return _complain(str(error), error.exit_code)
    except (DatabaseMisconfigured, SchemaOutdated) as error:
        return _complain(str(error), MISUSED)
    except (GatewayError, StorageError) as error:
        return _complain(str(error), FAILED)
    except _configuration_errors() as error:
        print(error, file=sys.stderr)  # a line per problem, each beginning with its place
        return MISUSED
    except OSError as error:
        return _complain(_os_message(error), FAILED)


def parser_for(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of the command that is asked for; the other commands are known to it by name alone."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="One URL in front of many MCP servers.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    asked = next((word for word in words if not word.startswith("-")), None)
    for name, command in COMMANDS.items():
        if name == asked:
            import_module(f"{__name__}.{name}").add_parser(subparsers)
            _add_example(subparsers.choices[name], name)
            subparsers.choices[name].set_defaults(parser=subparsers.choices[name])
        else:
            subparsers.add_parser(name, help=command.summary)
    return parser


def _parsed(words: Sequence[str]) -> argparse.Namespace:
    """What the words mean. A command's own parser complains of the words that it does not know, with its own usage."""
    arguments, unknown = parser_for(words).parse_known_args(words)
    if unknown:
        arguments.parser.error(f"{' '.join(unknown)}: not known here; -h lists what is")
    return arguments


def _add_example(parser: argparse.ArgumentParser, name: str) -> None:
    if parser.epilog is None:
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        parser.epilog = f"example:\n  {PROGRAM} {name} {COMMANDS[name].example}".rstrip()


def _run(handler: Handler, arguments: argparse.Namespace) -> int:
    end = handler(arguments)
    return asyncio.run(_awaited(end)) if inspect.isawaitable(end) else end


async def _awaited(end: Awaitable[int]) -> int:
    return await end


def _configuration_errors() -> type[Exception]:
    """Looked up only once something failed: the configuration's module is a heavy one."""
    errors: type[Exception] = import_module("gateway.config").ConfigErrors
    return errors


def _complain(message: str, code: int) -> int:
    print(f"{PROGRAM}: {harmless(message)}", file=sys.stderr)
    return code


def _os_message(error: OSError) -> str:
    what = error.strerror or str(error)
    return f"{error.filename}: {what}" if error.filename else what


def _print_whatever_comes() -> None:
    """Text that the terminal cannot show (a lone surrogate, a foreign script) is shown escaped. A stream that the shell
    closed (`>&-`) goes nowhere: Python has None for it, and would print complaints to stdout then.
    """
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  as long as the process
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _silence_stdout() -> None:
    """What is still buffered has no reader; without this the interpreter would complain of it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
