"""JSON with limits, and the encoding of values and arrays in it."""

import json
import re
from collections.abc import Mapping
from math import isfinite
from typing import Any

import numpy as np

from deepbp.errors import ArgumentTypeError, ConfigurationError, FileFormatError
from deepbp.typing import Array

LONGEST = 4 * 2**20  # bytes
MOST_VALUES = 200_000
DEEPEST = 100
LONGEST_NUMBER = 60  # a generator's state takes 39 digits

# A whole string, with or without its end, or a mark; possessive, and so never slow.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{},]', re.DOTALL)


def to_text(description: dict[str, Any]) -> bytes:
    """The JSON text of dicts with text as keys, lists, text, finite numbers, bools and None.

    Raises:
        ArgumentTypeError: when there is anything else in it, which would be lost or come back as another thing.
        ConfigurationError: when it is too large to be read again.
    """
    try:
        text = json.dumps(description, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ArgumentTypeError(f"description: expected what JSON can hold: {error}") from None
    try:
        again = from_text(text)
    except FileFormatError as error:
        raise ConfigurationError(f"description: {error}") from None
    if again != description:
        raise ArgumentTypeError("description: expected dicts with text as keys, lists, text, numbers, bools and None")
    return text


def from_text(text: bytes) -> dict[str, Any]:
    """The description that the text holds. Raises FileFormatError for anything but a JSON object within the limits."""
    check_limits(text)
    try:
        description = json.loads(
            text.decode(),
            object_pairs_hook=_each_key_once,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_whole,
        )
    except FileFormatError:
        raise
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"expected JSON, got text that is none: {error}") from None
    if not isinstance(description, dict):
        raise FileFormatError(f"expected a JSON object, got {description!r:.100}")
    return description


def check_limits(text: bytes) -> None:
    """Refuse a text that would take much memory or depth to parse."""
    if len(text) > LONGEST:
        raise FileFormatError(f"expected a description of at most {LONGEST:,} bytes, got {len(text):,}")
    values = depth = 0
    for token in _TOKEN.finditer(text):
        first = text[token.start()]
        values += first in b"[{,"
        depth += (first in b"[{") - (first in b"]}")
        if values > MOST_VALUES:
            raise FileFormatError(f"expected a description of at most {MOST_VALUES:,} values")
        if depth > DEEPEST:
            raise FileFormatError(f"expected a description of at most {DEEPEST} levels")


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise FileFormatError(f"expected each key once, got {[key for key, _ in pairs]!r:.200}")
    return found


def _no_constant(name: str) -> None:
    raise FileFormatError(f"expected finite numbers, got {name}")


def _finite(digits: str) -> float:
    if len(digits) > LONGEST_NUMBER or not isfinite(value := float(digits)):
        raise FileFormatError(f"expected finite numbers, got {digits:.100}")
    return value


def _whole(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise FileFormatError(f"expected whole numbers of at most {LONGEST_NUMBER} digits, got {digits:.100}…")
    return int(digits)


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
