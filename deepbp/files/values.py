"""What a training remembers, numbers, text, arrays and what holds them, as JSON and arrays, and back."""

import re
from collections.abc import Mapping
from math import isfinite
from typing import Any

import numpy as np

from deepbp.errors import ArgumentTypeError, FileFormatError
from deepbp.typing import Array

# What JSON has no word for stands in a dict with one of these as its only key.
_ARRAY, _SCALAR, _FLOAT = "$array", "$scalar", "$float"
_PLAIN = re.compile(r"(?!\.)[\w.-]{1,60}", re.ASCII)  # a key that may stand in the name of an array


def to_json(value: Any, name: str, arrays: dict[str, Array]) -> Any:
    """The value as JSON can hold it; each array in it goes into ``arrays``, under the path that leads to it, on which a
    key that is no plain word, such as the name of a metric, stands as ``#`` and its place.

    Tuples come back as lists. Raises ArgumentTypeError for anything else than numbers, text, None, arrays, lists and
    dicts with text as keys.
    """
    if isinstance(value, np.ndarray):
        arrays[name] = value
        return {_ARRAY: name}
    if isinstance(value, np.generic):
        arrays[name] = np.asarray(value)
        return {_SCALAR: name}
    if isinstance(value, float) and not isfinite(value):
        return {_FLOAT: str(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [to_json(item, f"{name}/{position}", arrays) for position, item in enumerate(value)]
    if isinstance(value, Mapping) and all(isinstance(key, str) and key[:1] != "$" for key in value):
        places = (key if _PLAIN.fullmatch(key) else f"#{position}" for position, key in enumerate(value))
        pairs = zip(value.items(), places, strict=True)
        return {key: to_json(item, f"{name}/{place}", arrays) for (key, item), place in pairs}
    raise ArgumentTypeError(f"{name}: expected numbers, text, arrays, lists, or dicts of them, got {value!r:.100}")


def from_json(value: Any, arrays: dict[str, Array]) -> Any:
    """The value that ``to_json`` was given; its arrays are taken out of ``arrays``."""
    if isinstance(value, list):
        return [from_json(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if not any(key[:1] == "$" for key in value):
        return {key: from_json(item, arrays) for key, item in value.items()}
    ((kind, content),) = value.items() if len(value) == 1 else [("", None)]
    if kind == _FLOAT and content in ("nan", "inf", "-inf"):
        return float(content)
    if kind in (_ARRAY, _SCALAR) and isinstance(content, str) and content in arrays:
        array = arrays.pop(content)
        if kind == _ARRAY:
            return array
        if array.ndim == 0:
            return array[()]
    raise FileFormatError(f"expected a value, got {value!r:.100}")
