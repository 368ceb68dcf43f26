"""Lazy arrays: data in HDF5, Zarr and similar files, read block by block."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from attrs import define, field

from deepbp._validation import as_numbers
from deepbp.errors import DataError, DeepBPError
from deepbp.typing import Array

WINDOW = 8 * 2**20  # bytes of samples that are shuffled together
IN_MEMORY = ("__array_interface__", "__dlpack__", "__dataframe__", "__arrow_c_stream__", "toarray")
BLOCK = 2**20  # bytes of a block, where the file itself has no chunks


def is_lazy(data: Any) -> bool:
    """Whether the object is an array outside the memory: it has shape, dtype and slices, and shares no buffer.

    A ``numpy.memmap`` is an array of NumPy's, whose rows are read one by one in any order.
    """
    if isinstance(data, np.ndarray) or not hasattr(data, "__getitem__"):
        return False
    if any(hasattr(data, name) for name in IN_MEMORY):
        return False
    return isinstance(getattr(data, "dtype", None), np.dtype) and bool(getattr(data, "shape", ()))


@define(eq=False)
class Blocks:
    """Samples of lazy arrays: an epoch reads whole blocks, and shuffles within windows of several blocks.

    Where all samples fit into one window, the order is that of an array in memory. Otherwise the blocks are drawn in a
    random order, and the samples of neighbouring blocks in that order are shuffled together: memory holds one window.

    Args:
        x, y, sample_weight: with samples along axis 0, each lazy or in memory.
        check: makes a validated batch of (x, y, sample_weight).
        window: bytes of x and y that are in memory together.
    """

    x: Any
    y: Any
    sample_weight: Any
    check: Callable[..., Any]
    window: int = WINDOW
    _block: int = field(init=False)  # rows of a block
    _blocks_at_once: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        parts = {"x": self.x, "y": self.y, "sample_weight": self.sample_weight}
        held: dict[str, Any] = {
            name: part if is_lazy(part) else as_numbers(part, name) for name, part in parts.items() if part is not None
        }
        lengths = {name: part.shape[0] for name, part in held.items()}
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{name} has {length}" for name, length in lengths.items())
            raise DataError(f"expected the same number of samples everywhere, got: {listed}")
        if self.samples == 0:
            raise DataError(f"x: expected at least one sample, got none (shape {self.x.shape})")
        self.y, self.sample_weight = held["y"], held.get("sample_weight")
        lazy = [part for part in held.values() if is_lazy(part)]
        row = max(1, sum(part.dtype.itemsize * int(np.prod(part.shape[1:])) for part in lazy))
        chunks = [part.chunks[0] for part in lazy if getattr(part, "chunks", None) and isinstance(part.chunks[0], int)]
        self._block = max(1, min(max(chunks, default=BLOCK // row), self.window // row))
        self._blocks_at_once = max(1, self.window // (row * self._block))

    @property
    def samples(self) -> int:
        """The number of samples of an epoch."""
        return int(self.x.shape[0])

    def batches(self, batch_size: int | None, rng: np.random.Generator | None = None, skip: int = 0) -> Iterator[Any]:
        """The batches of an epoch; the first ``skip`` of them are not read."""
        size = self.samples if batch_size is None else batch_size
        shuffled = rng is not None and size < self.samples
        windows = self._windows(rng if shuffled else None)  # all random numbers are drawn before anything is read
        left = skip * size
        pending: list[tuple[Array, ...]] = []
        rows: list[Array] = []
        count = 0
        for blocks, order in windows:
            if left >= len(order):
                left -= len(order)
                continue
            numbers = np.concatenate([self._rows(block) for block in blocks])
            held = tuple(np.concatenate([_read(part, self._rows(b)) for b in blocks]) for part in self._parts())
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

    def _parts(self) -> list[Any]:
        return [part for part in (self.x, self.y, self.sample_weight) if part is not None]

    def _rows(self, block: int) -> Array:
        return np.arange(block * self._block, min(self.samples, (block + 1) * self._block))

    def _windows(self, rng: np.random.Generator | None) -> list[tuple[Array, Array]]:
        """(block numbers, order of their samples) of each window."""
        count = -(-self.samples // self._block)
        at_once = self._blocks_at_once if rng is not None else 1
        blocks = np.arange(count) if rng is None or count <= at_once else rng.permutation(count)
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


def _read(part: Any, rows: Array) -> Array:
    """The block of these consecutive rows, by one slice."""
    return np.asarray(part[int(rows[0]) : int(rows[-1]) + 1])
