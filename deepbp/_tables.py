"""Conversion of containers of numbers: data frames, series, Arrow tables, masked, sparse and object arrays.

No library is imported here: an object of pandas, polars or PyArrow is recognized by the module of its class. Whatever
holds real numbers becomes a plain array. Anything else raises an error that names the column and the row, with a fix
that works when it is pasted.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from numbers import Real
from typing import Any

import numpy as np

from deepbp.errors import ConfigurationError, DataError, DataTypeError
from deepbp.typing import Array, ArrayLike

NUMBERS = "fiub"  # the kinds of dtypes that hold real numbers


def as_plain_array(data: ArrayLike, name: str) -> Array:
    """Convert to an array of floats, whole numbers or booleans: (rows, columns) of a frame, (rows,) of a series.

    Missing entries become NaN, which the check of finite numbers reports.

    Raises:
        DataTypeError: for text, dates, complex numbers, sparse and structured arrays.
        DataError: for masked entries.
    """
    if type(data) is np.ndarray and data.dtype.kind in NUMBERS:
        return data
    if (columns := column_names(data)) is not None:
        parts = [_numbers(values, name, label, data) for label, values in zip(columns, _columns(data), strict=True)]
        return np.stack(parts, axis=1) if parts else np.empty((len(data), 0))  # type: ignore[arg-type]
    if isinstance(data, np.ndarray) and type(data) is not np.ndarray and np.ma.is_masked(data):
        place = [int(axis[0]) for axis in np.nonzero(np.ma.getmaskarray(data))]
        raise DataError(
            f"{name}: expected no masked entries, got one at {name}{place}: drop such samples first, or fill them, "
            f"for example with {name}.filled({name}.mean())"
        )
    if hasattr(data, "toarray") and hasattr(data, "nnz"):
        raise DataTypeError(
            f"{name}: expected real numbers in a dense array, got {type(data).__name__}: use {name}.toarray()"
        )
    if type(data).__name__ == "LazyFrame":
        raise DataTypeError(f"{name}: expected a frame in memory, got a LazyFrame: use {name}.collect()")
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise DataTypeError(f"{name}: expected an array of numbers, got rows of different lengths ({error})") from None
    return _numbers(array, name, None, data)


def column_names(data: Any) -> tuple[str, ...] | None:
    """The names of the columns of a data frame or an Arrow table; None for anything else."""
    if not library_of(data):
        return None
    if type(data).__name__ in ("Table", "RecordBatch"):
        return tuple(data.schema.names)
    return tuple(map(str, data.columns)) if type(data).__name__ == "DataFrame" else None


def labels_of(data: Any) -> tuple[str, ...] | None:
    """The names of the columns, by which they can be told apart; None where pandas has only numbered them."""
    labels = getattr(data, "columns", ()) if library_of(data) == "pandas" else None
    if labels is not None and all(isinstance(label, int | np.integer) for label in labels):
        return None
    return column_names(data)


def in_order(data: Any, columns: tuple[str, ...] | None, name: str, attribute: str = "columns") -> Any:
    """A data frame with its columns in the order of ``columns``; data without names are returned as they are.

    Raises DataError if the frame lacks some of them, or has others; ``attribute`` of the network holds the names.
    """
    found = None if columns is None else labels_of(data)
    if columns is None or found is None or found == columns:
        return data
    missing, strange = [c for c in columns if c not in found], [c for c in found if c not in columns]
    if missing or strange or len({*found}) < len(found):
        gaps = {"missing": missing, "unexpected": strange, "each once, got": [] if missing or strange else [*found]}
        listed = ", ".join(f"{word} {names!r:.200}" for word, names in gaps.items() if names)
        wanted = f"list(net.{attribute})"
        chosen = f"{name}.select({wanted})" if library_of(data) == "pyarrow" else f"{name}[{wanted}]"
        forget = f"rename them, or forget the names with net.{attribute} = None"
        fix = f"use {chosen}" if strange and not missing else forget
        raise DataError(f"{name}: expected the columns that the network was trained on, {listed}: {fix}")
    places = [found.index(column) for column in columns]
    if library_of(data) == "pandas":
        return data.iloc[:, places]
    return data.select(places) if library_of(data) == "pyarrow" else data[:, places]


def place_in(data: Any, name: str, place: list[int]) -> str:
    """Where an entry stands, in words: its column and row in a frame, otherwise its index."""
    columns = column_names(data)
    return f"{name}{place}" if columns is None else f"row {place[0]} of column {columns[place[1]]!r}"


def library_of(data: Any) -> str:
    """The library whose series, frame, array or table this is; empty for anything else."""
    library = type(data).__module__.partition(".")[0]
    return library if library in ("pandas", "polars", "pyarrow") else ""


def as_texts(y: Any, name: str = "y") -> Array | None:
    """Labels that are text, (N,) or a column (N, 1) of them, as (N,); None for anything else.

    Raises DataError for texts of which some are missing.
    """
    if isinstance(y, np.ndarray):
        array = y if y.dtype.kind in "OUT" else None
    elif isinstance(y, list | tuple):
        first = next((one for one in y if not _is_missing(one)), None)
        array = np.asarray(y, dtype=object) if isinstance(first, str) else None
    elif library_of(y):
        kind = str(getattr(y, "dtype", getattr(y, "type", "object"))).lower()
        array = np.asarray(y) if any(word in kind for word in ("object", "str", "cat", "enum", "dict")) else None
    else:
        return None
    if array is None or array.ndim == 0 or array.shape[1:] not in ((), (1,)) or not len(array):
        return None
    flat = array.reshape(-1).tolist()
    strange = [row for row, one in enumerate(flat) if not isinstance(one, str)]
    if strange and len(strange) < len(flat) and all(_is_missing(flat[row]) for row in strange):
        known = f"{name}.notna()" if library_of(y) == "pandas" else f"[isinstance(one, str) for one in {name}]"
        raise DataError(
            f"{name}: expected the name of a class in each row, got {flat[strange[0]]} in row {strange[0]}: keep the "
            f"samples that have one, x[known] and numpy.asarray({name})[known], with known = {known}"
        )
    return None if strange else np.array(flat, dtype=str)


def numbered(names: Sequence[str] | None, given: Mapping[str, Any]) -> tuple[Sequence[str] | None, list[Any]]:
    """Labels that are text as numbers, in the order of the names, or of the alphabet if there are none; and the names.

    Raises ConfigurationError for a text that is not among the names.
    """
    texts = [as_texts(labels, name) for name, labels in given.items()]
    found = sorted({str(text) for labels in texts if labels is not None for text in labels})
    if not found:
        return names, list(given.values())
    names = found if names is None else names
    if strange := [text for text in found if text not in names]:
        raise ConfigurationError(f"names: expected all classes, got {list(names)} without {strange[0]!r}")
    places = {name: place for place, name in enumerate(names)}
    pairs = zip(given.values(), texts, strict=True)
    return names, [one if text is None else np.array([places[str(label)] for label in text]) for one, text in pairs]


def _columns(data: Any) -> Iterator[Array]:
    """The columns of a frame by position, for two of them may have one name."""
    for position in range(len(column_names(data) or ())):
        if library_of(data) == "pandas":
            yield data.iloc[:, position].to_numpy()
        elif library_of(data) == "polars":
            yield data.to_series(position).to_numpy()
        else:
            yield np.asarray(data.column(position))


def _numbers(array: Array, name: str, column: str | None, data: Any) -> Array:
    """The array, an object array of numbers converted; or the error for what holds no numbers."""
    if array.dtype.kind in NUMBERS:
        return array
    found: Any = array.dtype
    row = ""
    if array.dtype.kind == "O":
        flat = array.reshape(-1).tolist()
        wrong = next((i for i, entry in enumerate(flat) if not (_is_number(entry) or _is_missing(entry))), None)
        if wrong is None and array.ndim:
            plain: Any = [float("nan") if _is_missing(entry) else entry for entry in flat]
            whole = all(isinstance(entry, int | np.integer | np.bool) and abs(int(entry)) < 2**63 for entry in plain)
            return np.asarray(plain, dtype=None if whole else np.float64).reshape(array.shape)
        wrong = wrong or 0
        found = repr(flat[wrong]) if len(repr(flat[wrong])) < 40 else type(flat[wrong]).__name__
        place = [int(i) for i in np.unravel_index(wrong, array.shape)]
        row = f" in row {wrong}" if column is not None or array.ndim == 1 else f" at {name}{place}" if place else ""
    where = name if column is None else f"{name}: column {column!r}"
    fix = _fix(array, _kind(array), name, column, data)
    raise DataTypeError(f"{where}: expected real numbers, got {found}{row} ({type(data).__name__}): {fix}")


def _is_number(entry: Any) -> bool:
    from decimal import Decimal

    return isinstance(entry, Real | Decimal | np.bool)


def _is_missing(entry: Any) -> bool:
    nan = isinstance(entry, float) and entry != entry
    return nan or entry is None or type(entry).__name__ in ("NAType", "NaTType")


def _kind(array: Array) -> str:
    """What the array holds instead of numbers: text, numerals, dates, durations, complex numbers, fields, arrays."""
    kinds = {"c": "complex", "M": "dates", "m": "durations", "V": "fields"}
    if array.dtype.kind in kinds:
        return kinds[array.dtype.kind]
    entries = [entry for entry in array.reshape(-1).tolist() if not _is_missing(entry)]
    if not entries or array.ndim == 0:
        return "objects"
    if all(isinstance(entry, str | bytes) for entry in entries):
        try:
            return "numerals" if np.isfinite(np.asarray(entries, dtype=float)).all() else "text"
        except ValueError:
            return "text"
    types: dict[str, Any] = {"dates": date, "durations": timedelta, "complex": complex, "arrays": np.ndarray}
    for kind, type_ in types.items():
        if all(isinstance(entry, type_) for entry in entries):
            return kind
    return "text" if any(isinstance(entry, str | bytes) for entry in entries) else "objects"


def _fix(array: Array, kind: str, name: str, column: str | None, data: Any) -> str:
    """What turns such data into numbers, written so that it can be pasted."""
    library = library_of(data)
    frame = f"{name}.to_pandas()" if library == "pyarrow" else name
    if column is not None and kind in ("text", "dates", "durations", "numerals"):
        return f"use {_fix_of_column(kind, frame, column, library)}"
    if library and kind in ("dates", "durations"):
        elapsed = f"({frame} - {frame}.min())" if kind == "dates" else frame
        return f"use {elapsed}.dt.total_seconds()"
    if array.dtype.kind == "O" and kind in ("dates", "durations"):
        name = f"numpy.asarray({name}, dtype='{'datetime64' if kind == 'dates' else 'timedelta64'}[us]')"
    elif library or not isinstance(data, np.ndarray):
        name = f"numpy.asarray({name})"
    fields = f"structured_to_unstructured({name}), from numpy.lib.recfunctions"
    return {
        "numerals": f"use {name}.astype(float)",
        "text": f"number the texts first, for example with numpy.unique({name}, return_inverse=True)[1]",
        "dates": f"use ({name} - {name}.min()) / numpy.timedelta64(1, 's')",
        "durations": f"use {name} / numpy.timedelta64(1, 's')",
        "complex": f"use numpy.stack([{name}.real, {name}.imag], axis=-1)",
        "fields": f"use {fields}",
        "arrays": f"use numpy.stack({name})",
    }.get(kind, "convert it to an array of numbers")


def _fix_of_column(kind: str, frame: str, column: str, library: str) -> str:
    """The same for one column of a frame, as an expression of the whole frame."""
    cell = f"{frame}[{column!r}]"
    elapsed = f"({cell} - {cell}.min()).dt.total_seconds()" if kind == "dates" else f"{cell}.dt.total_seconds()"
    if library == "polars":
        if kind == "text":
            return f"{frame}.to_dummies(columns=[{column!r}])"
        return f"{frame}.with_columns({f'{cell}.cast(float)' if kind == 'numerals' else elapsed})"
    if kind == "text":
        return f"pandas.get_dummies({frame}, columns=[{column!r}])"
    return f"{frame}.assign(**{{{column!r}: {f'{cell}.astype(float)' if kind == 'numerals' else elapsed}}})"
