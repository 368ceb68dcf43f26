"""Look at the machine that deepbp runs on, and measure whether it could run faster."""

import argparse

from deepbp.doctor import examine


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--json", action="store_true", help="print the report for programs")


def run(arguments: argparse.Namespace) -> int:
    """Print the report; 1 where something is to be gained, else 0."""
    report = examine()
    print(report.to_json() if arguments.json else report)
    return int(bool(report.faster))
