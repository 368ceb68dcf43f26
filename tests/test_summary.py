"""The summary: a table of layers, with totals."""

import pytest
from attrs import define

from deepbp import Sequential
from deepbp.errors import NotBuiltError
from deepbp.layers import BatchNorm, Dense, Flatten, Layer, ReLU, Sigmoid
from deepbp.typing import Array


def test_the_whole_table() -> None:
    net = Sequential([Flatten(), Dense(1000), ReLU(), Dense(10, use_bias=False)], input_shape=(8, 8))
    flatten, dense, relu, plain = (row[3] for row in net.summary().rows)
    assert (dense, relu, plain) == ("z = x W + b", "y = max(z, 0)", "z = x W")
    line = "─" * (len("0 Flatten  (64,)                  0  ") + max(map(len, (flatten, dense, relu, plain))))
    assert repr(net.summary()) == (
        "Layer      Output shape  Parameters  Formula\n"
        f"{line}\n"
        f"0 Flatten  (64,)                  0  {flatten}\n"
        f"1 Dense    (1000,)           65,000  {dense}\n"
        f"2 ReLU     (1000,)                0  {relu}\n"
        f"3 Dense    (10,)             10,000  {plain}\n"
        f"{line}\n"
        "Parameters: 75,000 (300,000 bytes)"
    )


def test_bytes_follow_the_number_type() -> None:
    for dtype, size in ("float32", 4), ("float64", 8):
        summary = Sequential([Dense(5)], input_shape=3, dtype=dtype).summary()
        assert (summary.parameters, summary.bytes) == (20, 20 * size)


def test_a_nest_is_indented_by_its_position() -> None:
    net = Sequential([Dense(2), Sequential([Dense(3), Sequential([Sigmoid()])])], input_shape=4)
    assert [(layer, shape, count) for layer, shape, count, _ in net.summary().rows] == [
        ("0 Dense", "(2,)", "10"),
        ("1 Sequential", "", ""),
        ("1.0 Dense", "(3,)", "9"),
        ("1.1 Sequential", "", ""),
        ("1.1.0 Sigmoid", "(3,)", "0"),
    ]
    assert net.summary().parameters == 19


def test_a_shared_layer_counts_once() -> None:
    shared = Dense(3)
    summary = Sequential([shared, ReLU(), Sequential([shared])], input_shape=3).summary()
    assert [row[2] for row in summary.rows] == ["12", "0", "", "0"]
    assert (summary.parameters, summary.bytes) == (12, 48)


def test_not_before_the_sizes_are_known() -> None:
    with pytest.raises(NotBuiltError, match=r"its sizes are not known yet: give input_shape=\.\.\."):
        Sequential([Dense(3)]).summary()


def test_what_runs_in_python_in_a_program() -> None:
    @define(eq=False)
    class Own(Layer[None]):
        """y = x."""

        def forward(self, x: Array) -> tuple[Array, None]:
            return x, None

        def backward(self, saved: None, delta: Array) -> Array:
            return delta

    assert Sequential([Dense(3), ReLU(), Sequential([Dense(2)])], input_shape=2).summary().programs == (
        "all layers have instructions"
    )
    net = Sequential([Dense(3), Own(), Sequential([Own(), Dense(2)])], input_shape=2)
    assert net.summary().programs == "in Python: 1 Own, 2.0 Own"
    normalized = Sequential([Dense(3), BatchNorm(), Own()], input_shape=2).summary().programs
    assert normalized == "in Python: 2 Own; no program on several processes, which share the statistics of BatchNorm"
    shared = Dense(2)
    assert Sequential([shared, shared], input_shape=2).summary().programs == (
        "no program: a parameter is used more than once"
    )
