"""The commands of ``python -m deepbp``: each a module with ``add_arguments(parser)`` and ``run(arguments) -> int``."""

from deepbp.errors import DeepBPError

NAMES = ("check", "doctor")


class UsageError(DeepBPError, ValueError):
    """The command cannot be carried out as it was given; the message says what to write instead."""
