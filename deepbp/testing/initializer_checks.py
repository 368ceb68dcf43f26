"""Conformance checks of initializers."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from attrs import frozen

from deepbp._validation import as_shape
from deepbp.errors import ArgumentTypeError, DeepBPError, shown
from deepbp.initializers import Initializer
from deepbp.testing.check import Check, CheckFailure, Stages, as_seed, checks_of, run_all
from deepbp.testing.comparisons import expect_same
from deepbp.testing.configuration import CHECKS
from deepbp.typing import Array, Seed, Shape

__tracebackhide__ = True  # pytest shows no frames of this module

SHAPES: tuple[Shape, ...] = ((6, 4), (4, 6), (3, 2, 4), (5,))


@frozen
class InitializerCase:
    """Test case: an initializer and the shapes to draw."""

    subject: Initializer
    shapes: Sequence[Shape]
    seed: int

    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)

    def draws(self, dtype: str = "float64") -> dict[Shape, Array]:
        """Draw one array for each supported shape; the initializer may reject a shape with a deepbp error."""
        drawn: dict[Shape, Array] = {}
        rejection: DeepBPError | None = None
        for shape in self.shapes:
            try:
                drawn[shape] = self.subject(shape, self.rng(), np.dtype(dtype))
            except DeepBPError as error:
                rejection = error
        if not drawn:
            raise CheckFailure(f"refuses every shape, at last with: {rejection}")
        return drawn


def shape_and_dtype(case: InitializerCase) -> None:
    """Calling the initializer returns an array of the requested shape and dtype."""
    for dtype in ("float32", "float64"):
        for shape, values in case.draws(dtype).items():
            if not isinstance(values, np.ndarray) or values.shape != shape:
                got = f"shape {values.shape}" if isinstance(values, np.ndarray) else repr(values)
                raise CheckFailure(f"expected an array of shape {shape}, got {got}")
            if values.dtype != dtype:
                raise CheckFailure(f"expected {dtype}, got {values.dtype}: end with .astype(dtype, copy=False)")


def values_are_finite(case: InitializerCase) -> None:
    """All values are finite."""
    for shape, values in case.draws().items():
        if not np.isfinite(values).all():
            raise CheckFailure(f"shape {shape}: expected finite numbers, got {values[~np.isfinite(values)][0]}")


def random_numbers_come_from_rng(case: InitializerCase) -> None:
    """The values depend on the generator's state alone."""
    for (shape, once), again in zip(case.draws().items(), case.draws().values(), strict=True):
        message = f"shape {shape}: the same seed gives other values: draw every random number from rng"
        expect_same(again, once, message, 0.0)


def draws_differ(case: InitializerCase) -> None:
    """Two consecutive draws of a random initializer differ."""
    for shape, first in case.draws().items():
        rng = case.rng()
        case.subject(shape, rng, np.dtype("float64"))
        second = case.subject(shape, rng, np.dtype("float64"))
        other = case.subject(shape, np.random.default_rng(case.seed + 1), np.dtype("float64"))
        is_random = not np.array_equal(first, other)
        if is_random and np.array_equal(first, second):
            raise CheckFailure(f"shape {shape}: two draws in a row are equal: rng is copied or seeded anew")


def each_array_is_new(case: InitializerCase) -> None:
    """Every call returns a new, writeable array with memory of its own."""
    for (shape, first), second in zip(case.draws().items(), case.draws().values(), strict=True):
        if not first.flags.writeable:
            raise CheckFailure(f"shape {shape}: the array is read-only: return a new one")
        if np.shares_memory(first, second):
            raise CheckFailure(f"shape {shape}: two calls return the same array: return a new one each time")
        if any(stride == 0 for stride, size in zip(first.strides, shape, strict=True) if size > 1):
            raise CheckFailure(f"shape {shape}: the entries share their memory: np.broadcast_to needs a copy")


STAGES: Stages = (
    (shape_and_dtype,),
    (
        values_are_finite,
        random_numbers_come_from_rng,
        draws_differ,
        each_array_is_new,
        *CHECKS,
    ),
)


def initializer_checks(
    initializer: Initializer, *, shapes: Sequence[Shape] = SHAPES, rng: Seed = None
) -> Iterator[Check]:
    """Yield the conformance checks of an initializer, lazily: none runs before ``Check.run``.

    >>> from deepbp.initializers import HeNormal
    >>> from deepbp.testing import initializer_checks
    >>> [check.name for check in initializer_checks(HeNormal())][:3]
    ['shape_and_dtype', 'values_are_finite', 'random_numbers_come_from_rng']

    Args:
        shapes: shapes to draw. The initializer may reject some of them with a deepbp error, but not all.
        rng: seed or generator of the random numbers in the checks. None means the same numbers in each call.
    """
    if not isinstance(initializer, Initializer):
        raise ArgumentTypeError(f"initializer: expected an instance of Initializer, got {shown(initializer)}")
    if not isinstance(shapes, Iterable):
        raise ArgumentTypeError(f"shapes: expected a list of shapes, got {shown(shapes)}")
    case: Any = InitializerCase(initializer, tuple(as_shape(shape, "shapes") for shape in shapes), as_seed(rng))
    return checks_of(f"{initializer}", case, STAGES)


def check_initializer(initializer: Initializer, *, shapes: Sequence[Shape] = SHAPES, rng: Seed = None) -> None:
    """Run all conformance checks of an initializer; see ``initializer_checks`` for the arguments.

    >>> from deepbp.initializers import HeNormal
    >>> from deepbp.testing import check_initializer
    >>> check_initializer(HeNormal())  # returns None if all checks pass

    Raises:
        CheckFailure: if a check fails, with one report of all failures.
    """
    run_all(initializer_checks(initializer, shapes=shapes, rng=rng))
