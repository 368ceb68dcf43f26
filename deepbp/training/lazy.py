"""Data outside the memory: arrays in HDF5, Zarr and similar files, and data sets of items."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self, TypeAlias

import numpy as np
from attrs import define, evolve, field

from deepbp._validation import as_numbers
from deepbp.errors import ArgumentTypeError, ConfigurationError, DataError, DeepBPError, shown
from deepbp.typing import Array

WINDOW = 8 * 2**20  # bytes of samples that are shuffled together
IN_MEMORY = ("__array_interface__", "__dlpack__", "__dataframe__", "__arrow_c_stream__", "toarray")
BLOCK = 2**20  # bytes of a block, where the file itself has no chunks
PARTS = ("x", "y", "sample_weight")  # of a sample or a batch

Check: TypeAlias = Callable[..., Any]
"""Makes a validated batch of (x, y) or (x, y, sample_weight)."""


def is_lazy(data: Any) -> bool:
    """Whether the object is an array outside the memory: it has shape, dtype and slices, and shares no buffer.

    A ``numpy.memmap`` is an array of NumPy's, whose rows are read one by one in any order.
    """
    if isinstance(data, np.ndarray) or not hasattr(data, "__getitem__"):
        return False
    if any(hasattr(data, name) for name in IN_MEMORY):
        return False
    return isinstance(getattr(data, "dtype", None), np.dtype) and bool(getattr(data, "shape", ()))


class Splittable:
    """Base class of sources whose samples are read in any order: splits off validation data, without copying."""

    __slots__ = ()
    samples: Any

    def split(
        self, fraction: float, rng: np.random.Generator | None, classes: Array | None = None
    ) -> tuple[Self, Self]:
        """Split into (training, validation) data; no sample is copied.

        ``rng`` draws the validation rows; None takes the last ones, as a time series needs. With ``classes`` (N,),
        every class has the same share of both parts, rounded.
        """
        count, held_out = self.samples, round(fraction * self.samples)
        if not 0 < held_out < count:
            raise ConfigurationError(
                f"validation_split: {fraction} of {count} samples leaves {count - held_out} for training and "
                f"{held_out} for validation: both need at least one"
            )
        rows = np.arange(count)[::-1] if rng is None else rng.permutation(count)
        if classes is not None:
            # The samples of each class, in the drawn order, get evenly spaced ranks from 0 to 1. Those of the smallest
            # ranks are held out: each class gives its share, the first sample if it has two, and never the last one.
            rank = np.empty(len(rows))
            for label in np.unique(classes):
                members = rows[classes[rows] == label]
                rank[members] = np.arange(len(members)) / len(members)
                rank[members[-1]] = 1
            rows = rows[np.argsort(rank[rows], kind="stable")]
        part: Any = self
        return evolve(part, rows=np.sort(rows[held_out:])), evolve(part, rows=np.sort(rows[:held_out]))


def parts_of_batches(samples: int, size: int, skip: int, part: Callable[[int], slice]) -> Iterator[slice]:
    """The places of each batch, after the first ``skip``, or of a ``part`` of each, among all samples."""
    for start in range(skip * size, samples, size):
        share = part(min(size, samples - start))
        yield slice(start + (share.start or 0), start + share.stop)


def length_of(data: Any, name: str) -> int:
    """The number of samples of an array. Raises DataError if it is not known, as after a selection in Dask."""
    length = data.shape[0]
    if length != length:
        raise DataError(f"{name}: expected a known number of samples, got nan: call {name}.compute_chunk_sizes() first")
    return int(length)


@define(eq=False)
class Blocks(Splittable):
    """Samples of lazy arrays: an epoch reads whole blocks, and shuffles within windows of several blocks.

    Where all samples fit into one window, the order is that of an array in memory. Otherwise the blocks are drawn in a
    random order, and the samples of neighbouring blocks in that order are shuffled together: memory holds one window.
    A block is a chunk of the file, also a large one, because files read and decompress chunks whole.

    Args:
        x, y, sample_weight: with samples along axis 0, each lazy or in memory.
        check: makes a validated batch of (x, y, sample_weight).
        window: bytes of x and y that are in memory together, at least a block.
        rows: the rows in use, in ascending order; None for all.
    """

    x: Any
    y: Any
    sample_weight: Any
    check: Check
    window: int = WINDOW
    rows: Array | None = None
    _borders: Array = field(init=False)  # the first row of each block, and the end
    _blocks_at_once: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        parts = {"x": self.x, "y": self.y, "sample_weight": self.sample_weight}
        held: dict[str, Any] = {
            name: part if is_lazy(part) else as_numbers(part, name, missing=name == "y")  # each batch is checked again
            for name, part in parts.items()
            if part is not None
        }
        lengths = {name: length_of(part, name) for name, part in held.items()}
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{name} has {length}" for name, length in lengths.items())
            raise DataError(f"expected the same number of samples everywhere, got: {listed}")
        if self.samples == 0:
            raise DataError(f"x: expected at least one sample, got none (shape {self.x.shape})")
        self.y, self.sample_weight = held["y"], held.get("sample_weight")
        lazy = [part for part in held.values() if is_lazy(part)]
        self._borders = _borders(lazy, lengths["x"], self.window)
        largest = int(np.diff(self._borders).max()) * sum(map(_bytes_of_row, lazy))
        self._blocks_at_once = max(1, self.window // max(1, largest))

    @property
    def samples(self) -> int:
        """The number of samples of an epoch."""
        return int(self.x.shape[0]) if self.rows is None else len(self.rows)

    def batches(
        self,
        batch_size: int | None,
        rng: np.random.Generator | None = None,
        skip: int = 0,
        part: Callable[[int], slice] = slice,
    ) -> Iterator[Any]:
        """The batches of an epoch; the first ``skip`` are not read. None is a batch without rows of ``part``."""
        size = self.samples if batch_size is None else batch_size
        shuffled = rng is not None and size < self.samples
        windows = self._windows(rng if shuffled else None)  # all random numbers are drawn before anything is read
        if part is not slice:
            yield from self._parts_of_batches(windows if shuffled else None, size, skip, part)
            return
        left = skip * size
        pending: list[tuple[Array, ...]] = []
        rows: list[Array] = []
        held: tuple[Array, ...] = ()
        count = 0
        for blocks, order in windows:
            if left >= len(order):
                left -= len(order)
                continue
            inside = [self._rows(block) for block in blocks]
            numbers = np.concatenate(inside)
            held = ()  # the window before is freed first
            held = tuple(_read_all(part, inside) for part in self._parts())
            order, left = order[left:], 0
            while len(order):
                taken, order = order[: size - count], order[size - count :]
                pending.append(tuple(part[taken] for part in held))
                rows.append(numbers[taken])
                count += len(taken)
                if count == size:
                    yield self._checked(pending, rows)
                    pending, rows, count = [], [], 0
        if pending:
            yield self._checked(pending, rows)

    def _parts_of_batches(
        self, windows: list[tuple[Array, Array]] | None, size: int, skip: int, part: Callable[[int], slice]
    ) -> Iterator[Any]:
        """The same batches, of each the samples that one of several processes reads, which are read by no other.

        That is a part of each window where samples are shuffled, so that each process reads blocks of its own, and its
        parts of the batches differ a little in size; otherwise (``windows`` is None) it is a part of each batch.
        """
        if windows is None:
            block: dict[int, tuple[Array, ...]] = {}  # the last one, which the next batch may need again
            for place in parts_of_batches(self.samples, size, skip, part):
                rows = np.arange(place.start, place.stop) if self.rows is None else self.rows[place]
                yield self._checked(self._in_order(rows, block), [rows]) if len(rows) else None
            return
        pending: list[tuple[Array, ...]] = []
        rows_of: list[Array] = []
        held: tuple[Array, ...] = ()
        count, left = 0, skip * size
        for blocks, order in windows:
            if left >= len(order):
                left -= len(order)
                continue
            inside = [self._rows(block) for block in blocks]
            numbers = np.concatenate(inside)
            share = part(len(numbers))
            own = [rows for rows in _between(inside, share) if len(rows)]
            held = ()  # the window before is freed first
            held = tuple(_read_all(one, own) for one in self._parts()) if own else ()
            order, left = order[left:], 0
            while len(order):
                taken, order = order[: size - count], order[size - count :]
                count += len(taken)
                taken = taken[(taken >= share.start) & (taken < share.stop)]
                if len(taken):
                    pending.append(tuple(one[taken - share.start] for one in held))
                    rows_of.append(numbers[taken])
                if count == size:
                    yield self._checked(pending, rows_of) if pending else None
                    pending, rows_of, count = [], [], 0
        if count:
            yield self._checked(pending, rows_of) if pending else None

    def _in_order(self, rows: Array, held: dict[int, tuple[Array, ...]]) -> list[tuple[Array, ...]]:
        """These rows, from each block that they are in; ``held`` has the one that was read last."""
        pieces = []
        first, last = np.searchsorted(self._borders, rows[[0, -1]], "right") - 1
        for block in range(first, last + 1):
            start, stop = self._borders[block : block + 2]
            if block not in held:
                held.clear()
                held[block] = tuple(_read(one, np.arange(start, stop)) for one in self._parts())
            own = rows[slice(*np.searchsorted(rows, (start, stop)))] - start
            pieces.append(tuple(one[own] for one in held[block]))
        return pieces

    def _parts(self) -> list[Any]:
        return [part for part in (self.x, self.y, self.sample_weight) if part is not None]

    def _rows(self, block: int) -> Array:
        start, stop = self._borders[block : block + 2]
        if self.rows is None:
            return np.arange(start, stop)
        return self.rows[slice(*np.searchsorted(self.rows, (start, stop)))]

    def _windows(self, rng: np.random.Generator | None) -> list[tuple[Array, Array]]:
        """(block numbers, order of their samples) of each window."""
        blocks = np.arange(len(self._borders) - 1)
        if self.rows is not None:
            blocks = np.unique(np.searchsorted(self._borders, self.rows, "right") - 1)
        count = len(blocks)
        at_once = self._blocks_at_once if rng is not None else 1
        if rng is not None and count > at_once:
            blocks = rng.permutation(blocks)
        windows = []
        for start in range(0, count, at_once):
            together = blocks[start : start + at_once]
            samples = sum(len(self._rows(block)) for block in together)
            windows.append((together, np.arange(samples) if rng is None else rng.permutation(samples)))
        return windows

    def _checked(self, pending: list[tuple[Array, ...]], rows: list[Array]) -> Any:
        parts = [pieces[0] if len(pieces) == 1 else np.concatenate(pieces) for pieces in zip(*pending, strict=True)]
        try:
            return self.check(*parts)
        except DeepBPError as error:
            numbers = np.concatenate(rows)
            span = f"row {numbers[0]}" if len(numbers) == 1 else f"rows {numbers.min()} to {numbers.max()}"
            raise error.placed(f"a batch of {span}") from None


def _bytes_of_row(part: Any) -> int:
    return int(part.dtype.itemsize * np.prod(part.shape[1:], dtype=int))


def _borders(lazy: list[Any], count: int, window: int) -> Array:
    """Where blocks begin, and the end: at chunks of the files, of which each is then in one block.

    Where files have chunks of different sizes, it is those of the largest, unless the rows of one, with the others'
    parts of them, take more than twice its own memory, and more than a window.
    """
    row = max(1, sum(map(_bytes_of_row, lazy)))
    chunked = [(part.chunks[0], _bytes_of_row(part)) for part in lazy if getattr(part, "chunks", None)]
    for lengths, _ in chunked:
        if isinstance(lengths, tuple):  # chunks of uneven sizes
            return np.concatenate([[0], np.cumsum([length for length in lengths if length])])
    chunks = [(rows, own) for rows, own in chunked if isinstance(rows, int)]
    most = max([window // row, *(2 * rows * own // row for rows, own in chunks)])
    fitting = [rows for rows, _ in chunks if rows <= most]
    if not chunks:
        block = min(BLOCK, window) // row
    elif len(fitting) == len(chunks):
        block = max(fitting)
    else:
        block = window // row
        if fitting and block > max(fitting):
            block -= block % max(fitting)
    return np.append(np.arange(0, count, max(1, block)), count)


def _read(part: Any, rows: Array) -> Array:
    """These rows of a block, which are in ascending order, by one slice."""
    block = np.asarray(part[int(rows[0]) : int(rows[-1]) + 1])
    return block if len(block) == len(rows) else block[rows - rows[0]]


def _read_all(part: Any, blocks: list[Array]) -> Array:
    """These rows of several blocks, one after another, in the memory of the result and one block."""
    block = _read(part, blocks[0])
    if len(blocks) == 1:
        return block
    whole, start = np.empty((sum(map(len, blocks)), *block.shape[1:]), block.dtype), 0
    for rows in blocks:
        whole[start : start + len(rows)] = block if start == 0 else _read(part, rows)
        start += len(rows)
    return whole


def _between(blocks: list[Array], share: slice) -> Iterator[Array]:
    """The rows of each block that are in this slice of all of them."""
    start = 0
    for rows in blocks:
        yield rows[max(0, share.start - start) : max(0, share.stop - start)]
        start += len(rows)


@define(eq=False)
class Items(Splittable):
    """A data set, whose ``__getitem__`` returns (x, y) or (x, y, weight), or a dict of them, of one sample."""

    items: Any
    check: Check
    dimensions: int  # of the x of a sample
    rows: Array | None = None  # the rows in use, None for all

    @property
    def samples(self) -> int:
        """The number of samples of an epoch."""
        return len(self.items) if self.rows is None else len(self.rows)

    def batches(
        self,
        batch_size: int | None,
        rng: np.random.Generator | None = None,
        skip: int = 0,
        part: Callable[[int], slice] = slice,
    ) -> Iterator[Any]:
        """Yield batches of samples; None is a batch without rows of ``part``."""
        count = self.samples
        if count == 0:
            raise DataError("x: expected a data set of at least one sample, got none")
        size = count if batch_size is None else batch_size
        rows = np.arange(count) if self.rows is None else self.rows
        if rng is not None:
            rows = rng.permutation(rows)
        for place in parts_of_batches(count, size, skip, part):
            if place.start == place.stop:
                yield None
                continue
            columns = fetch(self.items, rows[place], parts_of, self.dimensions)
            yield checked(self.check, columns, f"samples from row {place.start} on")


def fetch(items: Any, rows: Array, parts: Callable[[Any], tuple[Any, ...]], dimensions: int) -> tuple[Array, ...]:
    """Read these rows of a data set as arrays of their parts, the first of which is x, with so many dimensions.

    They are read with one call of ``__getitems__``, as in PyTorch, if there is one.
    """
    numbers, several = rows.tolist(), getattr(items, "__getitems__", None)
    place = f"of the data set {type(items).__name__}"
    if several is None:
        samples = (items[row] for row in numbers)
    else:
        try:
            samples = several(numbers)
        except Exception as error:
            error.add_note(f"in items {numbers!r:.60} {place}")
            raise
        if not isinstance(samples, list | tuple) or len(samples) != len(numbers):
            raise DataError(f"__getitems__ {place}: expected a list of {len(numbers)} samples, got {shown(samples)}")
    found: list[tuple[Any, ...]] = []
    try:
        for sample in samples:
            found.append(parts(sample))
    except Exception as error:
        error.add_note(f"in item {numbers[len(found)]} {place}")
        raise
    try:
        if np.ndim(found[0][0]) == dimensions + 1:
            raise ArgumentTypeError(
                f"x: expected one sample as item {numbers[0]} {place}, got a batch: pass a function that returns the "
                "batches, lambda: (x[i] for i in range(len(x)))"
            )
        return tuple(np.stack(column) for column in zip(*found, strict=True))
    except ValueError as error:
        raise DataError(
            f"samples from row {numbers[0]} on: expected (x, y), or (x, y, weight), all of the same shapes: {error}"
        ) from None


def is_mapping(data: Any) -> bool:
    """Whether this is a dict, or a group of a file, rather than an array or a data frame."""
    if isinstance(data, type) or hasattr(data, "__array__"):
        return isinstance(data, Mapping)
    return callable(getattr(data, "keys", None))


def parts_of(given: Any, fix: str = "rename them, or use a tuple (x, y)") -> tuple[Any, ...]:
    """(x, y) or (x, y, sample_weight) of a sample or batch, which may also be a list or a dict."""
    if is_mapping(given):
        names = [*given.keys()]
        if not {"x", "y"} <= {*names} <= {*PARTS}:
            raise ArgumentTypeError(
                f"expected the keys 'x' and 'y', and 'sample_weight' if there are weights, got {shown(names)}: {fix}"
            )
        return tuple(given[name] for name in PARTS if name in names)
    if not isinstance(given, tuple | list) or len(given) not in (2, 3):
        raise ArgumentTypeError(f"expected (x, y) or (x, y, sample_weight), got {shown(given)}")
    return tuple(given)


def inputs_of(given: Any, dimensions: int) -> Any:
    """The x of a sample or batch, which may be x alone, or whatever ``fit`` takes; ``dimensions`` are those of x."""
    if is_mapping(given):
        if "x" not in given.keys():  # noqa: SIM118  # a group of a file may have keys and no ``in``
            raise ArgumentTypeError(f"x: expected the key 'x', got {shown([*given.keys()])}: rename it, or use x alone")
        return given["x"]
    pair = isinstance(given, tuple | list) and len(given) in (2, 3)
    # A list may also be the rows of x, or the numbers of a row.
    return given[0] if pair and (isinstance(given, tuple) or len(np.shape(given[0])) == dimensions) else given


def checked(check: Check, given: Any, place: str) -> Any:
    """The validated batch; an error names its place."""
    try:
        return check(*parts_of(given))
    except DeepBPError as error:
        raise error.placed(place) from None
