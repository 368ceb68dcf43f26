"""JSON with limits, and the one encoding of Python values and arrays as JSON."""

import json
import re
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

import numpy as np
from attrs import define, field

from deepbp.errors import ArgumentTypeError, ConfigurationError, FileFormatError
from deepbp.typing import AnySize, Array

LONGEST = 4 * 2**20  # bytes
MOST_VALUES = 200_000
DEEPEST = 100
LONGEST_NUMBER = 60  # a generator's state takes 39 digits
MOST_OTHER_KEYS = 1000  # that are no text: the hashes of numbers are known, so a file could make them collide

DTYPES = ("bool", *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)))
DTYPES += ("float16", "float32", "float64")

_LEVELS = bytes.maketrans(b"[{]}", b"\1\1\xff\xff")  # how a bracket changes the depth: by 1 or -1
_OTHERS = bytes({*range(256)} - {*b"[{]}"})


def to_text(description: dict[str, Any]) -> bytes:
    """Serialize dicts with text as keys, lists, text, finite numbers, bools and None to JSON.

    Raises:
        ArgumentTypeError: for any other value, which would be lost or changed.
        ConfigurationError: when the text exceeds a limit, and could not be read again.
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
    """Parse a JSON object. Raises FileFormatError for any other text, and for one that exceeds a limit."""
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
    """Count values and levels before the text is parsed. Raises FileFormatError where there are too many."""
    if len(text) > LONGEST:
        raise FileFormatError(f"expected a description of at most {LONGEST:,} bytes, got {len(text):,}")
    plain = np.frombuffer(text.replace(rb"\\", b"").replace(rb"\"", b""), "uint8")  # without escaped quotes
    marks = plain[~np.logical_xor.accumulate(np.equal(plain, ord('"')))].tobytes()  # outside of strings
    if sum(map(marks.count, (b"[", b"{", b","))) > MOST_VALUES:
        raise FileFormatError(f"expected a description of at most {MOST_VALUES:,} values")
    if np.frombuffer(marks.translate(_LEVELS, _OTHERS), "int8").cumsum(dtype="int32").max(initial=0) > DEEPEST:
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


# A key that may be part of the name of an array.
_PLAIN = re.compile(r"(?!\.)[\w.-]{1,60}", re.ASCII)
_NUMBERS = {name: float(name) for name in ("inf", "-inf", "nan")}


@define(eq=False)
class Encoder:
    """Encodes values as JSON and collects the arrays among them, which a file stores beside its JSON text.

    A JSON object always has one key, a tag: ``{"array": name}`` or ``{"scalar": name}`` for NumPy's arrays and scalars,
    ``{"number": "inf"}``, ``{"tuple": [...]}``, ``{"dict": [[key, value], ...]}``. Subclasses add tags.
    """

    arrays: dict[str, Array] = field(factory=dict)

    def encode(self, value: Any, place: str) -> Any:
        """The JSON form of a value; ``place`` is its path, for error messages and the names of arrays."""
        kind = type(value)
        if kind in (bool, int, str):
            return value
        if value is None or kind is AnySize:
            return None
        if kind is float:
            return value if isfinite(value) else {"number": str(value)}
        if kind in (list, tuple):
            items = [self.encode(item, self.inside(place, i, i)) for i, item in enumerate(value)]
            return items if kind is list else {"tuple": items}
        if kind is dict:
            if (others := sum(type(key) is not str for key in value)) > MOST_OTHER_KEYS:
                raise ArgumentTypeError(
                    f"{place}: expected at most {MOST_OTHER_KEYS:,} keys that are no text, got {others:,}"
                )
            pairs = [(self.encode(key, place), self.inside(place, key, i), value[key]) for i, key in enumerate(value)]
            return {"dict": [[key, self.encode(item, where)] for key, where, item in pairs]}
        if kind is np.ndarray and value.dtype.name in DTYPES:
            return {"array": self.add_array(value, place)}
        return self.encode_other(value, place)

    def encode_other(self, value: Any, place: str) -> Any:
        """Encode what is of no type above. Raises ArgumentTypeError where that is not possible."""
        if isinstance(value, np.generic) and value.dtype.name in DTYPES:
            return {"scalar": self.add_array(np.asarray(value), place)}
        plain: Any = next((kind for kind in (int, float, str, list, tuple, Mapping) if isinstance(value, kind)), None)
        if plain is not None:  # of a derived class
            convert: Any = dict if plain is Mapping else plain
            return self.encode(convert(value), place)
        raise ArgumentTypeError(f"{place}: expected numbers, text, arrays, lists, or dicts of them, got {value!r:.100}")

    def inside(self, place: str, key: Any, position: int) -> str:
        """The path of an item: its key, or ``#`` and its position where the key is no plain word."""
        return f"{place}/{key if _PLAIN.fullmatch(str(key)) else f'#{position}'}"

    def add_array(self, array: Array, place: str) -> str:
        """Collect an array and return the name that it has in the file."""
        self.arrays[place] = array
        return place


@define(eq=False)
class Decoder:
    """Decodes what ``Encoder`` has encoded; each array is removed from ``arrays`` when it is used."""

    arrays: dict[str, Array]
    tags: dict[Any, Callable[[Any], Any]] = field(init=False)
    """Functions that decode the content of each tag; they raise KeyError, TypeError or ValueError to refuse it."""

    def __attrs_post_init__(self) -> None:
        self.tags = {
            "array": self.arrays.pop,
            "scalar": lambda name: _scalar(self.arrays.pop(name)),
            "number": _NUMBERS.__getitem__,
            "tuple": lambda items: tuple(self.decode(item) for item in _list(items)),
            "dict": self._dict,
        }

    def decode(self, value: Any) -> Any:
        """The value of its JSON form. Raises FileFormatError for JSON that ``Encoder`` does not write."""
        if isinstance(value, list):
            return [self.decode(item) for item in value]
        if not isinstance(value, dict):
            return value
        tag, content = next(iter(value.items())) if len(value) == 1 else (None, None)
        make = self.tags.get(tag)
        if make is None:
            return self.decode_other(value)
        try:
            return make(content)
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, FileFormatError):
                raise
            raise FileFormatError(f"expected {tag}, got {content!r:.100}") from None

    def _dict(self, pairs: Any) -> dict[Any, Any]:
        if sum(type(key) is not str for key, _ in map(_list, _list(pairs))) > MOST_OTHER_KEYS:
            raise FileFormatError(f"expected at most {MOST_OTHER_KEYS:,} keys that are no text")
        return {self.decode(key): self.decode(item) for key, item in pairs}

    def decode_other(self, value: dict[str, Any]) -> Any:
        """Decode an object without a known tag. Raises FileFormatError."""
        raise FileFormatError(f"expected a value, got {value!r:.100}")


def _scalar(array: Array) -> Any:
    if array.ndim:
        raise ValueError("more than one number")
    return array[()]


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("no list")
    return value


def to_json(value: Any, name: str, arrays: dict[str, Array]) -> Any:
    """Encode a state; its arrays go to ``arrays``, each under the path that leads to it from ``name``."""
    return Encoder(arrays).encode(value, name)


def from_json(value: Any, arrays: dict[str, Array], version: int = 2) -> Any:
    """Decode a state that ``to_json`` has encoded, in this version or in version 1; its arrays leave ``arrays``."""
    return Decoder(arrays).decode(_upgraded(value) if version == 1 else value)


_TAGS_OF_VERSION_1 = {"$array": "array", "$scalar": "scalar", "$float": "number"}


def _upgraded(value: Any) -> Any:
    """A state as version 1 encoded it, whose dicts are JSON objects and whose tags begin with ``$``, in version 2."""
    if isinstance(value, list):
        return [_upgraded(item) for item in value]
    if not isinstance(value, dict):
        return value
    if any(key[:1] == "$" for key in value):
        return {_TAGS_OF_VERSION_1.get(key, key): content for key, content in value.items()}
    return {"dict": [[key, _upgraded(item)] for key, item in value.items()]}
