"""Exceptions. Each message states where the error happened, what was expected, what was given, and the fix.

Each class also derives from the built-in exception that fits, so ``except ValueError`` works.
"""

from typing import Self

from deepbp._plain_text import printable

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


def shown(value: object) -> str:
    """A value for a message, on one line: its repr, or of long ones the shape, the length or the beginning."""
    size = len(value) if isinstance(value, list | tuple | dict | set) else 0
    text = repr(value) if size <= 100 else ""
    if text and len(text) <= 200 and "\n" not in text:
        return text
    kind, shape = type(value).__name__.replace("ndarray", "array"), getattr(value, "shape", None)
    kind = f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"
    if isinstance(shape, tuple):
        return f"{kind} of shape {shape}"
    return f"{' '.join(text.split()):.150}…" if text else f"{kind} of {size} items"


class DeepBPError(Exception):
    """Base class of all exceptions of deepbp.

    With more than one argument, the first is a template, which ``str`` fills with the others.

    >>> from deepbp.errors import DeepBPError, ShapeError
    >>> str(DeepBPError("expected {}, got {}", 3, 4)), issubclass(ShapeError, DeepBPError)
    ('expected 3, got 4', True)
    """

    def __str__(self) -> str:
        return printable(str(self.args[0]).format(*self.args[1:]) if len(self.args) > 1 else super().__str__())

    def placed(self, place: str) -> Self:
        """The same error, with the place where it happened in front of the message."""
        head, _, rest = str(self).partition(": ")
        named = bool(rest) and place.endswith(f", {head}")  # do not repeat the name of a layer
        self.args = (f"{place}: {rest if named else self}",)
        return self


class ShapeError(DeepBPError, ValueError):
    """An array, or a sample, has the wrong shape.

    >>> import deepbp
    >>> net = deepbp.Sequential([deepbp.layers.Dense(1)], input_shape=3, rng=0)
    >>> net.predict([[1.0, 2.0]])
    Traceback (most recent call last):
    deepbp.errors.ShapeError: x: layer 0, Dense(1) expects samples of shape (3,), ...
    """


class DataError(DeepBPError, ValueError):
    """Data cannot be used: empty, not finite, labels out of range, lengths that differ.

    >>> import deepbp
    >>> net = deepbp.Sequential([deepbp.layers.Dense(1)], input_shape=1, rng=0)
    >>> net.predict([[float("nan")]])
    Traceback (most recent call last):
    deepbp.errors.DataError: x: expected finite numbers, got nan at x[0, 0]: drop or fill such samples first
    """


class DataTypeError(DeepBPError, TypeError):
    """An array holds something other than the numbers expected.

    >>> import deepbp
    >>> net = deepbp.Sequential([deepbp.layers.Dense(1)], input_shape=1, rng=0)
    >>> net.predict([["one"]])
    Traceback (most recent call last):
    deepbp.errors.DataTypeError: x: expected real numbers, got <U3 (list): ...
    """


class ConfigurationError(DeepBPError, ValueError):
    """An argument has the right type but an invalid value.

    >>> from deepbp.layers import Dense
    >>> Dense(0)
    Traceback (most recent call last):
    deepbp.errors.ConfigurationError: Dense: units: expected a whole number of at least 1, got 0
    """


class ArgumentTypeError(DeepBPError, TypeError):
    """An argument has the wrong type.

    >>> from deepbp.layers import Dense
    >>> Dense("64")
    Traceback (most recent call last):
    deepbp.errors.ArgumentTypeError: Dense: units: expected a whole number of at least 1, got '64'
    """


class PositionError(DeepBPError, IndexError):
    """There is no layer at this position.

    >>> import deepbp
    >>> deepbp.Sequential([deepbp.layers.Dense(1)])[5]
    Traceback (most recent call last):
    deepbp.errors.PositionError: Sequential: expected a position from -1 to 0, got 5
    """


class NotBuiltError(DeepBPError, RuntimeError):
    """A layer or network was used before its sizes were known.

    >>> import deepbp
    >>> deepbp.Sequential([deepbp.layers.Dense(1)]).predict([[1.0]])
    Traceback (most recent call last):
    deepbp.errors.NotBuiltError: Sequential: its sizes are not known yet: ...
    """


class ContractError(DeepBPError, TypeError):
    """A layer, loss, optimizer or metric violates the contract of its base class.

    >>> import numpy as np
    >>> from deepbp.metrics import compute
    >>> compute(lambda prediction, target: None, np.ones(2), np.ones(2))
    Traceback (most recent call last):
    deepbp.errors.ContractError: metric <lambda>: expected a single number, returned None
    """


class NonFiniteError(DeepBPError, ArithmeticError):
    """The loss or a gradient became infinite or NaN; the last update was not applied.

    >>> import deepbp
    >>> net = deepbp.Sequential([deepbp.layers.Dense(1)], input_shape=1, rng=0)
    >>> options = {"loss": deepbp.losses.MeanSquaredError(), "optimizer": deepbp.optimizers.SGD(1e30)}
    >>> net.fit([[1.0]], [[2.0]], epochs=9, progress=False, **options)
    Traceback (most recent call last):
    deepbp.errors.NonFiniteError: epoch 1, step 1: the loss became inf; ...
    """


class FileFormatError(DeepBPError, ValueError):
    """A file is damaged, has another format, or contains something that is not allowed.

    >>> import deepbp, pathlib
    >>> _ = pathlib.Path("net.npz").write_text("no network")
    >>> deepbp.load("net.npz")
    Traceback (most recent call last):
    deepbp.errors.FileFormatError: net.npz: expected a file of deepbp, got one that is no archive
    """
