"""The command line, ``python -m deepbp``."""

import argparse
import io
import sys
from collections.abc import Sequence
from importlib import import_module

from deepbp.commands import NAMES, UsageError


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 for good news, 1 for bad news, 2 for a command that makes no sense."""
    parser = argparse.ArgumentParser(
        prog="python -m deepbp", description="Backpropagation through any number of layers."
    )
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    for name in NAMES:
        command = import_module(f"deepbp.commands.{name}")
        summary = str(command.__doc__).partition("\n")[0]
        subparser = commands.add_parser(name, help=summary, description=summary)
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    arguments = parser.parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without the letters of mathematics is no reason to fail
            stream.reconfigure(errors="replace")
    try:
        return int(arguments.run(arguments))
    except UsageError as error:
        print(f"{parser.prog} {arguments.command}: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
