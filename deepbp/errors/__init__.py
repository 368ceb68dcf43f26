"""Every error that deepbp raises on purpose: where it happened, what was expected, what came, and the fix.

Each class is also the built-in exception that fits, so ``except ValueError`` keeps working.
"""

from typing import Self

__all__ = [
    "ArgumentTypeError",
    "ConfigurationError",
    "ContractError",
    "DataError",
    "DataTypeError",
    "DeepBPError",
    "FileFormatError",
    "NonFiniteError",
    "NotBuiltError",
    "PositionError",
    "ShapeError",
]


class DeepBPError(Exception):
    """The parent of all of deepbp's errors. Made with a template and values, it fills them in when it is read."""

    def __str__(self) -> str:
        return str(self.args[0]).format(*self.args[1:]) if len(self.args) > 1 else super().__str__()

    def placed(self, place: str) -> Self:
        """The same error with the place it happened at put in front of its message."""
        head, _, rest = str(self).partition(": ")
        named = bool(rest) and place.endswith(f", {head}")  # a layer that named itself is not named twice
        self.args = (f"{place}: {rest if named else self}",)
        return self


class ShapeError(DeepBPError, ValueError):
    """An array, or a sample, has another shape than the one expected."""


class DataError(DeepBPError, ValueError):
    """The data cannot be used: empty, not finite, labels out of range, lengths that differ."""


class DataTypeError(DeepBPError, TypeError):
    """An array holds something other than the numbers expected."""


class ConfigurationError(DeepBPError, ValueError):
    """An argument has the right type and a value that makes no sense."""


class ArgumentTypeError(DeepBPError, TypeError):
    """An argument has the wrong type."""


class PositionError(DeepBPError, IndexError):
    """There is no layer at this position."""


class NotBuiltError(DeepBPError, RuntimeError):
    """A layer or network was used before its sizes were known."""


class ContractError(DeepBPError, TypeError):
    """A layer, loss or optimizer does not keep the contract that its base class states."""


class NonFiniteError(DeepBPError, ArithmeticError):
    """The loss or a gradient became infinite or not a number; the last update was not applied."""


class FileFormatError(DeepBPError, ValueError):
    """A file is damaged, is of another kind, or holds what is not let in."""
