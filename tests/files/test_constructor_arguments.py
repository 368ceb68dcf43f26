"""Constructor arguments of layers are restored; errors name the place of those that a file cannot hold."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from custom_layers import Direction, Everything, Slope, Twos, twice, two
from stored import stored

from deepbp import Sequential
from deepbp._config import without_addresses
from deepbp.errors import ArgumentTypeError
from deepbp.layers import Activation, Dense, Tanh

ARGUMENTS: list[Any] = [
    None,
    True,
    -(2**80),
    0.1 + 0.2,
    float("-inf"),
    "ü \ud800 \x00",
    [],
    (1, [2, (3.5,)]),
    {"a": 1, 2: (None,), (1, 2): {}},
    Direction.DOWN,
    Slope(0.5, (Direction.UP, Direction.DOWN)),
    [Slope(1.0), Tanh(), {"b": Dense(2)}],
    Twos(),
]


def named(value: Any) -> str:
    return without_addresses(repr(value))


@pytest.mark.parametrize("argument", ARGUMENTS, ids=named)
def test_arguments_of_all_kinds_come_back(argument: Any, tmp_path: Path) -> None:
    network = Sequential([Everything(argument, init=Twos())], input_shape=3)
    other: Any = stored(network, tmp_path, custom=[Everything, Slope, Direction, Twos])
    made = other[0].argument
    assert type(made) is type(argument)
    assert made == argument or repr(made) == repr(argument) or type(argument) is Twos
    assert type(other[0].init) is Twos


@pytest.mark.parametrize("ending", [".npz", ".safetensors"])
def test_arrays_functions_and_numbers_of_numpy_may_be_arguments(ending: str, tmp_path: Path) -> None:
    table = np.array([[0.1, np.inf], [5e-324, -0.0]])[:, ::-1]
    layers = [Activation(np.sin, np.cos), Activation(twice, two), Everything(np.float32(0.1), table + 1)]
    network = Sequential([*layers, Everything(np.int8(3), np.array([True]))], input_shape=3)
    other: Any = stored(network, tmp_path, ending, custom=[Everything, twice, two])
    assert other[0].f is np.sin
    assert (other[1].f, other[1].f_prime) == (twice, two)
    assert other[2].table.tobytes() == (table + 1).tobytes()
    assert other[2].argument == float(np.float32(0.1))
    assert other[3].table.dtype == bool
    assert other[3].argument == 3


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (
            lambda z: z,
            r"layers\[1\]\.argument, an argument of Everything: expected what a file can hold, got <function ",
        ),
        (
            [{"a": (1, np.sin(1), print)}],
            r"layers\[1\]\.argument\[0\]\['a'\]\[2\], an argument of Everything: .* a function ",
        ),
        (
            Everything,
            r"layers\[1\]\.argument, .*: a function without a name of its own cannot be stored: write it at the",
        ),
        (np.vectorize(abs), r"layers\[1\]\.argument, an argument of Everything"),
        ({1, 2}, r"layers\[1\]\.argument, .*, got \{1, 2\}: put @define, from attrs, above its class"),
        (1j, r"layers\[1\]\.argument, .*, got 1j"),
        (b"a", r"layers\[1\]\.argument, .*, got b'a'"),
        (Path("a"), r"layers\[1\]\.argument, .*Path"),
        (np.array(["a"]), r"layers\[1\]\.argument, .*array\(\['a'\]"),
        (Slope(lambda: 0), r"layers\[1\]\.argument\.size, an argument of Slope"),  # type: ignore[arg-type]
    ],
    ids=named,
)
def test_what_a_file_cannot_hold_is_told_with_its_place(argument: Any, message: str, tmp_path: Path) -> None:
    network = Sequential([Dense(3), Everything(argument)], input_shape=3)
    with pytest.raises(ArgumentTypeError, match=f"^{message}"):
        network.save(tmp_path / "network.npz")
    assert list(tmp_path.iterdir()) == []
