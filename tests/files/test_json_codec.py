"""Values are encoded as JSON and arrays, and decoded with the same types."""

import json
import math
from collections import Counter
from http import HTTPStatus
from typing import Any, NamedTuple

import numpy as np
import pytest

from deepbp.errors import ArgumentTypeError, FileFormatError
from deepbp.storage.json_codec import from_json, to_json

VALUES: list[Any] = [
    None,
    True,
    7,
    2**100,
    0.1,
    "text",
    [],
    {},
    [1, [2.5, None], {"a": {"b": [False]}}],
    (1, (2, [3])),
    {2: "a", (1, None): {"array": "x", "$array": "y"}, "dict": [[1, 2]]},
    np.arange(6.0).reshape(2, 3),
    np.float32(0.1),
    np.int64(3),
    np.bool(True),
    {"mean": np.zeros(3, "f4"), "more": [np.float64(2.5), {"deep": np.ones((1, 2), bool)}]},
]


class NamedPair(NamedTuple):
    number: int
    text: str


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return type(other) is type(one) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray | np.generic):
        return type(one) is type(other) and one.dtype == other.dtype and np.array_equal(one, other)
    return type(one) is type(other) and one == other


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:40])
def test_it_comes_back_as_it_was(value: Any) -> None:
    arrays: dict[str, Any] = {}
    stored = json.loads(json.dumps(to_json(value, "state", arrays), allow_nan=False))
    assert all(name.startswith("state") for name in arrays)
    assert same(from_json(stored, arrays), value)
    assert arrays == {}  # each was taken


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_numbers_that_json_has_no_word_for(value: float) -> None:
    text = json.dumps(to_json({"best": value}, "state", {}), allow_nan=False)
    back = from_json(json.loads(text), {})["best"]
    assert type(back) is float
    assert back == value or (math.isnan(back) and math.isnan(value))


def test_values_of_derived_classes_come_back_as_plain_ones() -> None:
    value = {"counts": Counter("aab"), "kind": HTTPStatus.OK, "pair": NamedPair(1, "b")}
    back = from_json(to_json(value, "state", {}), {})
    assert back == {"counts": {"a": 2, "b": 1}, "kind": 200, "pair": (1, "b")}
    assert [type(one) for one in back.values()] == [dict, int, tuple]


def test_a_state_of_version_1_can_be_read() -> None:
    """Its dicts were JSON objects, and its tags began with $."""
    stored = {"a": [1, {"$array": "x"}], "best": {"$float": "inf"}, "one": {"$scalar": "y"}, "array": {"dict": []}}
    arrays: dict[str, Any] = {"x": np.arange(3.0), "y": np.array(2, "int8")}
    back = from_json(stored, arrays, version=1)
    expected = {"a": [1, np.arange(3.0)], "best": math.inf, "one": np.int8(2), "array": {"dict": []}}
    assert same(back, expected)
    assert arrays == {}


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({1, 2}, "state"),
        ({"a": [1, print]}, "state/a/1"),
        ({2: print}, "state/2"),
        ({"a b": 1j}, "state/#0"),
        (np.array(["a"]), "state"),
        (1j, "state"),
    ],
)
def test_what_no_file_can_hold_is_told_with_its_place(value: Any, place: str) -> None:
    with pytest.raises(
        ArgumentTypeError, match=rf"^{place}: expected numbers, text, arrays, lists, or dicts of them, got "
    ):
        to_json(value, "state", {})


@pytest.mark.parametrize(
    "stored",
    [
        {"array": "missing"},
        {"array": ["a"]},
        {"scalar": "a"},  # which is no single number
        {"number": "1e999"},
        {"number": 3},
        {"other": 1},
        {"array": "a", "more": 1},
        {"tuple": 1},
        {"dict": {"a": 1}},
        {"dict": [[1, 2, 3]]},
        {"dict": [[[], 2]]},
        {},
        {"dict": [["a", {"": 1}]]},
    ],
)
def test_what_was_not_written_by_it_is_refused(stored: Any) -> None:
    with pytest.raises(FileFormatError, match=r"^expected [a-z ]+, got "):
        from_json(stored, {"a": np.zeros(3)})


@pytest.mark.parametrize("stored", [{"$other": 1}, {"$array": "a", "more": 1}, [{"b": {"$": 1}}], {"$scalar": "a"}])
def test_what_version_1_did_not_write_is_refused(stored: Any) -> None:
    with pytest.raises(FileFormatError, match=r"^expected [a-z ]+, got "):
        from_json(stored, {"a": np.zeros(3)}, version=1)
