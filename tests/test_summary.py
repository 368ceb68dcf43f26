"""The summary: a table of layers, with totals."""

from importlib.util import find_spec

import numpy as np
import pytest
from attrs import define

from deepbp import Sequential, kernels
from deepbp.errors import NotBuiltError
from deepbp.layers import BatchNorm, Dense, Embedding, Flatten, Layer, ReLU, Sigmoid
from deepbp.losses import CosineSimilarity, MeanSquaredError
from deepbp.optimizers import SGD
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


@pytest.mark.skipif(not find_spec("numba"), reason="programs need Numba: pip install 'deepbp[fast]'")
def test_the_summary_says_how_the_last_training_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPBP_PROGRAM", "1")
    before = kernels.current()
    kernels.use("numba")
    try:
        x, y = np.ones((4, 3), np.float32), np.ones((4, 2), np.float32)
        net = Sequential([Dense(4), ReLU(), Dense(2)], input_shape=3, rng=0)
        net.fit(x, y, loss=CosineSimilarity(), optimizer=SGD(0.1))
        plain = "all layers have instructions"
        assert net.summary().programs == f"{plain}; the last training ran CosineSimilarity in Python"
        net.fit(x, y, loss=MeanSquaredError(), optimizer=SGD(0.1))
        assert net.summary().programs == plain
        categories = Sequential([Embedding(5, 2, sparse_gradient=True), Flatten(), Dense(2)], input_shape=3, rng=0)
        categories.fit(x.astype(int), y, loss=MeanSquaredError(), optimizer=SGD(0.1))
        assert categories.summary().programs == (
            "in Python: 0 Embedding; the last training had no program: "
            "the gradients of an embedding are sparse, and a program updates all parameters"
        )
        shared = Dense(3)
        twice = Sequential([shared, shared, Dense(2)], input_shape=3, rng=0)
        twice.fit(x, y, loss=MeanSquaredError(), optimizer=SGD(0.1))
        assert twice.summary().programs == "no program: a parameter is used more than once"
    finally:
        kernels.use(before)  # type: ignore[arg-type]
