"""Training data in Parquet files, as lazy arrays that are read by row groups."""

from collections.abc import Sequence
from os import PathLike, fspath
from threading import Lock
from typing import Any, TypeAlias

import numpy as np
from attrs import define, field

from deepbp.errors import ConfigurationError, DataError, DataTypeError
from deepbp.typing import Array, Shape

Paths: TypeAlias = str | PathLike[str] | Sequence[str | PathLike[str]]


@define(eq=False)
class Parquet:
    """Training data in Parquet files: columns as arrays x, y and sample_weight, of which row groups are read.

    ``fit``, ``evaluate`` and ``predict`` take it in place of x and y, also as ``validation_data``. It is a dict of
    arrays with shape, dtype and slices, ``data["x"]``, as a group of an HDF5 file is: samples are shuffled within
    windows of several row groups, and each of several processes reads its share of every window. Memory holds a window,
    or one row group if that is larger. Needs the extra ``deepbp[parquet]``.

    Args:
        paths: a file, or several with the same columns, whose rows follow each other.
        y: the column of targets (N,), or a list of columns, (N, F); None for no targets.
        x: the columns of inputs, (N, F); by default all others. The name of one column, not in a list, is (N,), or
            (N, L) for a column of lists of a fixed size L, such as images.
        sample_weight: the column of weights.

    Raises:
        ConfigurationError: for unknown columns, and without PyArrow.
        DataError: for files with different columns, and, when they are read, missing numbers in a column of whole ones.
        DataTypeError: for columns of anything but numbers and booleans.

    >>> import pyarrow, pyarrow.parquet
    >>> from tempfile import mkdtemp
    >>> from deepbp.training import Parquet
    >>> table = pyarrow.table({"age": [30, 40, 50], "height": [1.6, 1.7, 1.8], "late": [0, 1, 1]})
    >>> path = f"{mkdtemp()}/people.parquet"
    >>> pyarrow.parquet.write_table(table, path, row_group_size=2)
    >>> data = Parquet(path, y="late")
    >>> data["x"].shape, data["x"].dtype, data["y"][1:3]
    ((3, 2), dtype('float64'), array([1, 1]))
    """

    paths: Paths
    y: str | Sequence[str] | None = None
    x: str | Sequence[str] | None = None
    sample_weight: str | None = None
    _parts: dict[str, "Columns"] = field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        given = [self.paths] if isinstance(self.paths, str | PathLike) else [*self.paths]
        files, schema = [fspath(path) for path in given], None
        groups: list[tuple[str, int, int]] = []  # file, number in it, rows
        for path in files:
            metadata = _pyarrow().parquet.read_metadata(path)
            own = metadata.schema.to_arrow_schema()
            if schema is not None and not own.equals(schema):
                expected, got = (", ".join(f"{one.name} ({one.type})" for one in columns) for columns in (schema, own))
                raise DataError(f"Parquet: {path}: expected the columns of {files[0]}, {expected}, got {got}")
            schema = own
            rows = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
            groups += [(path, number, count) for number, count in enumerate(rows) if count]
        if schema is None:
            raise ConfigurationError("Parquet: paths: expected at least one file, got none")
        others = {*_as_list(self.y), *_as_list(self.sample_weight)}
        x = self.x if self.x is not None else [name for name in schema.names if name not in others]
        for name, columns in (("x", x), ("y", self.y), ("sample_weight", self.sample_weight)):
            if columns is not None:
                self._parts[name] = Columns.of(name, columns, schema, groups)

    def keys(self) -> list[str]:
        """The names of the arrays: x, and y and sample_weight where there are any."""
        return [*self._parts]

    def __getitem__(self, name: str) -> "Columns":
        return self._parts[name]


@define(eq=False)
class Columns:
    """A lazy array of columns of Parquet files, (N,) or (N, F): slices of it read the row groups that they are in.

    The row group that was read last is kept, so that slices in order read each once.
    """

    name: str
    columns: list[str]
    groups: list[tuple[str, int, int]]
    shape: Shape
    dtype: np.dtype[Any]
    _starts: Array = field(init=False)  # of the groups, and the end
    _held: tuple[int, Array] | None = field(init=False, default=None)
    _lock: Lock = field(init=False, factory=Lock)

    def __attrs_post_init__(self) -> None:
        self._starts = np.cumsum([0, *(rows for _, _, rows in self.groups)])

    @classmethod
    def of(cls, name: str, columns: str | Sequence[str], schema: Any, groups: list[tuple[str, int, int]]) -> "Columns":
        """The array of these columns; raises as ``Parquet`` does."""
        names = _as_list(columns)
        for one in names:
            if one not in schema.names:
                raise ConfigurationError(f"Parquet: {name}: expected columns of {schema.names!r:.200}, got {one!r}")
        kinds = [schema.field(one).type for one in names]
        tail: Shape = () if isinstance(columns, str) else (len(names),)
        if isinstance(columns, str) and _pyarrow().types.is_fixed_size_list(kinds[0]):
            kinds, tail = [kinds[0].value_type], (kinds[0].list_size,)
        for one, kind in zip(names, kinds, strict=True):
            if not _is_number(kind):
                numeric = [field.name for field in schema if _is_number(field.type)]
                raise DataTypeError(
                    f"Parquet: {name}: expected numbers in column {one!r}, got {kind}: encode them in the file, or use "
                    f"columns of {numeric!r:.200}"
                )
        if not names:
            raise ConfigurationError(f"Parquet: {name}: expected at least one column, got none")
        dtype: np.dtype[Any] = np.result_type(*(kind.to_pandas_dtype() for kind in kinds))
        rows = sum(rows for _, _, rows in groups)
        return cls(name, names, groups, (rows, *tail), dtype)

    @property
    def chunks(self) -> tuple[tuple[int, ...], ...]:
        """The rows of each row group, as Dask states the chunks of an array."""
        return (tuple(rows for _, _, rows in self.groups), *((size,) for size in self.shape[1:]))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> Array:
        start, stop, step = rows.indices(len(self)) if isinstance(rows, slice) else (0, 0, 0)
        if step != 1:
            raise TypeError(f"{self.name}: expected a slice of rows in order, such as [10:20], got {rows!r}")
        if stop <= start:
            return np.empty((0, *self.shape[1:]), self.dtype)
        first, last = np.searchsorted(self._starts, (start, stop - 1), "right") - 1
        with self._lock:
            pieces = []
            for group in range(first, last + 1):
                array, begin = self._read(group), self._starts[group]
                pieces.append(array[max(0, start - begin) : stop - begin])
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _read(self, group: int) -> Array:
        if self._held is not None and self._held[0] == group:
            return self._held[1]
        self._held = None  # freed first
        path, number, rows = self.groups[group]
        array = np.empty((rows, *self.shape[1:]), self.dtype)
        with _pyarrow().parquet.ParquetFile(path) as file:
            table = file.read_row_group(number, columns=self.columns)
        for place, name in enumerate(self.columns):
            column = table.column(name).combine_chunks()
            if _is_number(column.type):
                array[(slice(None), place) if self.shape[1:] else ...] = self._numbers(column, name, path)
            else:  # lists of a fixed size
                array[...] = self._numbers(column.flatten(), name, path).reshape(array.shape)
        array.flags.writeable = False
        self._held = group, array
        return array

    def _numbers(self, column: Any, name: str, path: str) -> Array:
        found: Array = column.to_numpy(zero_copy_only=False)
        if column.null_count and self.dtype.kind != "f":
            row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
            raise DataError(
                f"{self.name}: expected numbers in column {name!r}, got none in row {row} of a row group of {path}: "
                "fill such entries or leave out these rows in the file, or store the column as float64"
            )
        return found


def _as_list(columns: str | Sequence[str] | None) -> list[str]:
    return [] if columns is None else [columns] if isinstance(columns, str) else [*columns]


def _is_number(kind: Any) -> bool:
    types = _pyarrow().types
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
        import pyarrow.types
    except ImportError as error:
        raise ConfigurationError("Parquet: PyArrow is not installed: pip install 'deepbp[parquet]'") from error
    return pyarrow
