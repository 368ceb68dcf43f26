"""Every error that deepbp raises on purpose: where it happened, what was expected, what came, and the fix.

Each class is also the built-in exception that fits, so ``except ValueError`` keeps working.
"""

from typing import Self


class DeepBPError(Exception):
    """The parent of all of deepbp's errors."""

    def placed(self, place: str) -> Self:
        """The same error with the place it happened at put in front of its message."""
        self.args = (f"{place}: {self}", *self.args[1:])
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


class NotBuiltError(DeepBPError, RuntimeError):
    """A layer or network was used before its sizes were known."""


class ContractError(DeepBPError, TypeError):
    """A layer, loss or optimizer does not keep the contract that its base class states."""


class NonFiniteError(DeepBPError, ArithmeticError):
    """The loss or a gradient became infinite or not a number; the last update was not applied."""
