"""What a file says about itself: a description, and which arrays follow."""

from collections.abc import Mapping
from typing import Any

from deepbp.errors import ArgumentTypeError, ConfigurationError, FileFormatError
from deepbp.files.arrays import Spec, check_name
from deepbp.files.text import from_text, to_text

VERSION = 1
KEYS = ("archive", "description", "arrays")


def contents_text(description: dict[str, Any], specs: Mapping[str, Spec]) -> bytes:
    """The JSON text of both. Raises as ``to_text`` does."""
    if not isinstance(description, dict):
        raise ArgumentTypeError(f"description: expected a dict, got {description!r:.100}")
    arrays = {name: [spec.dtype, list(spec.shape)] for name, spec in specs.items()}
    return to_text(dict(zip(KEYS, (VERSION, description, arrays), strict=True)))


def read_contents(text: bytes) -> tuple[dict[str, Any], dict[str, Spec]]:
    """Both, from the JSON text. Raises FileFormatError for what ``contents_text`` would not have written."""
    contents = from_text(text)
    check_version(contents.get("archive"), VERSION, "the archive")
    if tuple(contents) != KEYS:
        raise FileFormatError(f"expected the keys {list(KEYS)}, got {list(contents)!r:.200}")
    _, description, arrays = contents.values()
    if not isinstance(description, dict) or not isinstance(arrays, dict):
        raise FileFormatError("expected a description and a table of arrays, got something else")
    try:
        return description, {check_name(name): Spec.read(name, described) for name, described in arrays.items()}
    except ConfigurationError as error:
        raise FileFormatError(f"arrays: {error}") from None


def check_version(version: Any, newest: int, what: str) -> None:
    """Refuse a version that this deepbp does not know."""
    if type(version) is not int or version < 1:
        raise FileFormatError(f"expected the version of {what}, a whole number of at least 1, got {version!r:.100}")
    if version > newest:
        raise FileFormatError(
            f"{what} has version {version}, and this deepbp reads versions up to {newest}: install a newer deepbp"
        )
