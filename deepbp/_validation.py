"""Input validation: checks and conversions of the data and arguments that users pass."""

import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from inspect import signature
from math import isfinite
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from deepbp._tables import NUMBERS, as_plain_array, place_in
from deepbp.errors import ArgumentTypeError, ConfigurationError, DataError, NotBuiltError, ShapeError, shown
from deepbp.typing import AnySize, Array, ArrayLike, Seed, Shape, ShapeLike

FILL = "drop or fill such samples first"
INDEX = np.dtype(np.intp)  # of categories
ROWS_AT_ONCE = 65_536  # checks of large arrays work in blocks of rows, to save memory
T = TypeVar("T")


def require_built(owner: object, built: T | None) -> T:
    """Return what a layer was built for, ``layer.built``. Raises NotBuiltError where that is None."""
    if built is None:
        raise NotBuiltError(
            f"{type(owner).__name__}: its sizes are not known yet: give input_shape=..., or call build or fit first"
        )
    return built


def as_shape(value: ShapeLike, name: str = "input_shape", most_axes: int = 32, *, any_size: bool = False) -> Shape:
    """Convert ``3`` and ``[3]`` to ``(3,)``. Raises unless all sizes are whole numbers of at least 1 and below 2⁶³.

    With ``any_size``, a size may be None, which becomes an ``AnySize``.
    """
    sizes: tuple[Any, ...] = tuple(value) if isinstance(value, list | tuple) else (value,)
    if any_size and isinstance(value, list | tuple) and any(size is None or type(size) is AnySize for size in sizes):
        known = [1 if size is None or type(size) is AnySize else size for size in sizes]
        checked = as_shape(known, name, most_axes)
        places = zip(sizes, checked, strict=True)
        return tuple(AnySize() if given is None or type(given) is AnySize else size for given, size in places)
    if not all(isinstance(size, int | np.integer) and not isinstance(size, bool) for size in sizes):
        raise ArgumentTypeError(f"{name}: expected whole numbers, such as (3,), got {shown(value)}")
    if len(sizes) > most_axes:
        raise ConfigurationError(f"{name}: expected at most {most_axes} axes, got {len(sizes)}")
    if any(size < 1 for size in sizes):
        raise ConfigurationError(f"{name}: expected sizes of at least 1, got {shown(value)}")
    if any(size >= 2**63 for size in sizes):
        raise ConfigurationError(f"{name}: expected sizes below 2**63, got {value!r:.200}")
    return tuple(int(size) for size in sizes)


def as_dtype(value: npt.DTypeLike | None) -> np.dtype[Any]:
    """``float32`` or ``float64``, however it is spelled."""
    try:
        dtype: np.dtype[Any] = np.dtype(object if value is None else value)  # None would mean float64 to NumPy
    except (TypeError, ValueError, SyntaxError):
        dtype = np.dtype(object)
    if dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ConfigurationError(f"dtype: expected 'float32' or 'float64', got {shown(value)}")
    return dtype


def as_generator(rng: Seed, name: str = "rng") -> np.random.Generator:
    """A seed becomes a generator of its own; a generator is used as it is."""
    if isinstance(rng, np.random.Generator):
        return rng
    if rng is None or isinstance(rng, np.random.SeedSequence | np.random.BitGenerator | np.random.RandomState):
        return np.random.default_rng(rng)
    if isinstance(rng, bool) or not isinstance(rng, int | np.integer):
        raise ArgumentTypeError(f"{name}: expected a whole number, a numpy.random.Generator or None, got {shown(rng)}")
    if rng < 0:
        raise ConfigurationError(f"{name}: expected a seed of at least 0, got {rng}")
    return np.random.default_rng(rng)


def as_numbers(data: ArrayLike, name: str, *, missing: bool = False, fix: str = FILL) -> Array:
    """An array of real numbers, with samples along axis 0.

    Args:
        missing: whether numbers may be missing, which NaN stands for.
        fix: what to do about NaN.

    Raises:
        DataTypeError: for objects, text, dates and complex numbers.
        DataError: for no samples, and for NaN or infinity, naming the first place.
    """
    array = data if type(data) is np.ndarray and data.dtype.kind in NUMBERS else as_plain_array(data, name)
    if array.ndim == 0:
        raise ShapeError(f"{name}: expected samples along axis 0, got the single number {array}")
    if len(array) == 0:
        raise DataError(f"{name}: expected at least one sample, got none (shape {array.shape})")
    if array.dtype.kind == "f":
        check_finite(array, name, data, missing=missing, fix=fix)
    return array


def check_finite(array: Array, name: str, data: Any = None, *, missing: bool = False, fix: str = FILL) -> None:
    """Raise DataError for NaN or infinity, with the first place; for a data frame, with the column."""
    if array.flags.c_contiguous:
        with np.errstate(all="ignore"):
            if isfinite((flat := array.reshape(-1)).dot(flat)):
                return  # finite only without NaN and infinity; very large numbers overflow and take the slow path
    for start in range(0, len(array), ROWS_AT_ONCE):
        rows = array[start : start + ROWS_AT_ONCE]
        finite = ~np.isinf(rows) if missing else np.isfinite(rows)
        if not finite.all():
            place = [int(axis[0]) for axis in np.nonzero(~finite)]
            place[0] += start
            raise DataError(
                f"{name}: expected finite numbers, got {array[tuple(place)]} at {place_in(data, name, place)}: {fix}"
            )


def as_samples(
    data: ArrayLike,
    name: str,
    shape: Shape,
    dtype: np.dtype[Any],
    place: Callable[[], str] | None = None,
    *,
    categories: bool = False,
) -> Array:
    """Validated samples of the given shape, in the network's dtype, or as ``input_dtype`` says.

    Args:
        place: describes the receiver in errors.
        categories: whether the network takes whole numbers as they are.
    """
    if _is_ready(data, shape, dtype):
        return data  # type: ignore[return-value]  # known to be an array
    array = as_numbers(data, name)
    if array.shape[1:] != shape:
        check_sample_shape(array, name, shape, place() if place else "the network", data)
    return as_type(array, name, input_dtype(array, dtype, categories), data)


def input_dtype(array: Array, dtype: np.dtype[Any], categories: bool) -> np.dtype[Any]:
    """The dtype in which a network of the given dtype takes this array: whole numbers stay whole as categories."""
    return INDEX if categories and np.can_cast(array.dtype, INDEX) else dtype


def _is_ready(data: Any, shape: Shape, dtype: np.dtype[Any]) -> bool:
    """Whether a small array is valid already: a fast test, since a small net's ``predict`` takes 4 µs in all."""
    if type(data) is not np.ndarray or data.dtype != dtype or data.shape[1:] != shape:
        return False
    if not 0 < data.size <= 4096 or not data.flags.c_contiguous:
        return False
    try:  # a sum of tiny multiples is finite only without NaN and infinity
        return isfinite(data.reshape(-1).dot(_shares(data.size, dtype)))
    except (RuntimeWarning, FloatingPointError):  # ∞ − ∞, where NumPy is set to raise
        return False


def as_type(array: Array, name: str, dtype: np.dtype[Any], data: Any = None, *, missing: bool = False) -> Array:
    """Convert finite numbers, or missing ones, to this dtype; an array that has it is returned as it is.

    Raises DataError for numbers too large for it, and warns about whole numbers that it rounds to others.
    """
    if array.dtype == dtype:
        return array
    if dtype == INDEX:
        return array.astype(dtype)
    with np.errstate(all="ignore"):
        converted = array.astype(dtype)
    try:
        check_finite(converted, name, missing=missing)
    except DataError:
        raise DataError(
            f"{name}: expected numbers that {dtype} can hold, got {np.nanmax(np.abs(array))}: scale them to about ±1"
        ) from None
    _warn_if_rounded(array, converted, name, data)
    return converted


def _warn_if_rounded(array: Array, converted: Array, name: str, data: Any) -> None:
    """Warn about the first whole number, such as an id or a Unix time, that the converted array cannot hold."""
    exact = 2.0 ** (np.finfo(converted.dtype).nmant + 1)
    if array.dtype.itemsize <= 2 or max(converted.max(), -converted.min()) < exact:
        return
    changed = converted != array
    if array.dtype.kind == "f":
        changed &= (np.rint(array) == array) & (np.abs(array) <= 2.0**53)
    if changed.any():
        place = [int(axis[0]) for axis in np.nonzero(changed)]
        value = array[tuple(place)]
        warnings.warn(
            f"{name}: {converted.dtype} takes {value:.17g} at {place_in(data, name, place)} as "
            f"{converted[tuple(place)]:.17g}: give an Embedding categories, subtract the smallest of numbers such as "
            "times, or build the network with dtype='float64'",
            stacklevel=3,
        )


def check_sample_shape(array: Array, name: str, shape: Shape, place: str = "the network", data: Any = None) -> None:
    """Check the shape of the samples; the fix in the error works for ``data``, from which the array was made."""
    if array.shape[1:] == shape:
        return
    fix, whole = "", name if data is None or isinstance(data, np.ndarray) else f"numpy.asarray({name})"
    if array.shape == shape:
        fix = f": this looks like one sample, use {whole}[None] for a batch of one"
    elif array.ndim == 1 and shape == (1,):
        fix = f": use {whole}.reshape(-1, 1)"
    elif order := _other_order(array.shape[1:], shape):  # for which reshape would scramble every sample
        fix = f": the axes are in another order, use {whole}.transpose({(0, *order)})"
    elif np.prod(array.shape[1:]) == np.prod(shape):
        fix = f": use {whole}.reshape({(-1, *shape)})"
    raise ShapeError(
        f"{name}: {place} expects samples of shape {shape}, so an array of shape {('N', *shape)}, "
        f"got {array.shape}{fix}".replace("'N'", "N")
    )


def _other_order(got: Shape, expected: Shape) -> Shape | None:
    """The axes, from 1, that bring samples of other orders to the expected shape; None where reshaping does.

    Of several orders, the one that moves the first axis to the end, or the last to the front, as image formats do.
    """
    if sorted(got) != sorted(expected) or [n for n in got if n > 1] == [n for n in expected if n > 1]:
        return None
    axes = tuple(range(1, len(got) + 1))
    for order in ((*axes[1:], axes[0]), (axes[-1], *axes[:-1])):
        if tuple(got[axis - 1] for axis in order) == expected:
            return order
    left, order = list(axes), ()
    for size in expected:
        axis = next(axis for axis in left if got[axis - 1] == size)
        left.remove(axis)
        order = (*order, axis)
    return order


def check_same_length(**arrays: Array | None) -> None:
    """Raise DataError unless all arrays hold the same number of samples."""
    lengths = {name: len(array) for name, array in arrays.items() if array is not None}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise DataError(f"expected the same number of samples everywhere, got: {listed}")


@lru_cache(maxsize=64)
def _shares(length: int, dtype: np.dtype[Any]) -> Array:
    return np.full(length, 2.0**-32, dtype)


@lru_cache(maxsize=64)
def ones(length: int, dtype: np.dtype[Any]) -> Array:
    """A shared, read-only vector of ones: ``ones @ delta`` sums a batch in half the time of ``delta.sum(axis=0)``."""
    vector = np.ones(length, dtype)
    vector.flags.writeable = False
    return vector


def takes_one_argument(function: Any) -> bool:
    """Whether this is a function that can be called with one argument, as far as its signature is known."""
    if not callable(function) or isinstance(function, type):
        return False
    with suppress(ValueError):  # some functions written in C have no signature
        try:
            signature(function).bind(None)
        except TypeError:
            return False
    return True
