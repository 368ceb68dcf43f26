"""Predictions of a few rows as programs: the bits of the layers, the errors of the network, and nothing out of date."""

import copy
import pickle
from collections.abc import Callable
from threading import Barrier, Thread
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from trainings import LAYERS, make_small, problem
from trainings import compiled_kernels as compiled_kernels

from deepbp import Sequential, Trainer, kernels
from deepbp.errors import DataError
from deepbp.layers import BatchNorm, Chain, Dense, Dropout, ReLU, Sigmoid
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import SGD
from deepbp.program.layout import blas_addresses
from deepbp.training import predictions, programmed
from deepbp.typing import Array

pytestmark = pytest.mark.skipif(
    blas_addresses(np.dtype(np.float64)) is None, reason="the BLAS of this NumPy has no interface that is known"
)


@pytest.fixture(autouse=True)
def made(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether a program has made each prediction that it could have made."""
    monkeypatch.setenv("DEEPBP_PROGRAM", "1")
    calls: list[bool] = []
    original = predictions.Predictions.__call__

    def call(self: predictions.Predictions, x: Array) -> Array | None:
        y = original(self, x)
        calls.append(y is not None)
        return y

    monkeypatch.setattr(predictions.Predictions, "__call__", call)
    return calls


def small(dtype: str = "float32") -> Sequential:
    return Sequential([Dense(4), ReLU(), Dropout(0.5), Dense(2), Sigmoid()], input_shape=3, rng=0, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [1, 2, 7, predictions.FEW])
def test_the_bits_of_the_layers(rows: int, dtype: str, made: list[bool]) -> None:
    net, x = small(dtype), problem(MeanSquaredError(), rows, 2, dtype)[0]
    outputs = [net.predict(given) for given in (x, x, x, np.asfortranarray(x), x[::-1][::-1])]
    assert len({y.tobytes() for y in outputs}) == 1
    assert len({y.ctypes.data for y in outputs}) == 5  # no two share their memory
    assert made.count(True) == 5
    assert outputs[0].tobytes() == Chain._run_predict(net, x).tobytes()
    assert net.predict(x.tolist()).tobytes() == outputs[0].tobytes()


IN_PYTHON = {"own"}  # what has no instructions of an inference pass


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_any_layer(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bits of the layer's own inference pass, by a program, also after a training has changed the averages."""
    dtype = ("float32", "float64")[len(name) % 2]
    net = Sequential([Dense(4), LAYERS[name](), Dense(2)], input_shape=3, rng=0, dtype=dtype)
    x = problem(MeanSquaredError(), 3, 2, dtype)[0]
    for _ in range(2):
        net.fit(*problem(MeanSquaredError(), 20, 2, dtype), loss=MeanSquaredError(), optimizer=SGD(0.1))
        outputs = {net.predict(x).tobytes() for _ in range(4)}
        assert bool(net._predictions._free[x.shape]) == (name not in IN_PYTHON)
        monkeypatch.setenv("DEEPBP_PROGRAM", "0")
        assert outputs == {Chain._run_predict(copy.deepcopy(net), x).tobytes()}
        monkeypatch.setenv("DEEPBP_PROGRAM", "1")


@pytest.mark.parametrize("name", ["batch", "scale", "shift", "standardize"])
@pytest.mark.parametrize("shape", [(5, 4), (2, 3, 17)])
def test_features_of_places(name: str, shape: tuple[int, ...], made: list[bool]) -> None:
    rng = np.random.default_rng(0)
    net = Sequential([ReLU(), LAYERS[name](), ReLU()], input_shape=shape, rng=0)
    held: list[Any] = [*net.parameters(), *net.named_buffers().values()]
    for one in held:
        one.value = one.value + rng.random(one.value.shape)
    x = rng.normal(size=(3, *shape)).astype(np.float32)
    assert net.predict(x).tobytes() == Chain._run_predict(net, x).tobytes()
    assert made == [True]


def test_an_overflow_of_an_average_is_not_hidden() -> None:
    """A number divided by an infinite one would be 0."""
    norm = BatchNorm(epsilon=1e38)
    net = Sequential([Dense(2), norm], input_shape=3, rng=0)
    norm.running_variance.value = np.array([np.finfo(np.float32).max, 1])
    with np.errstate(over="ignore"):
        y = net.predict(np.ones((2, 3), np.float32))
    np.testing.assert_array_equal(np.isnan(y), [[True, False], [True, False]])


@pytest.mark.parametrize("inside", [False, True])
def test_invalid_samples(inside: bool, made: list[bool]) -> None:
    """However often they come."""
    net = Sequential([small()], input_shape=3, rng=0) if inside else small()
    x = np.ones((2, 3), np.float32)
    bad = x.copy()
    bad[1, 2] = np.inf
    wrong = [
        (x[:0], "at least one"),
        (x[:, :2], "shape"),
        (bad, "inf"),
        (np.full_like(x, np.nan), "nan"),
        (x[0, 0], "axis 0"),
    ]
    for _ in range(3):
        net.predict(x)
        for given, fix in wrong:
            with pytest.raises(ValueError, match=fix):
                net.predict(given)
    assert made.count(True) >= 1
    with pytest.raises(DataError, match=r"inf at x\[1, 2\]"):
        net.predict(bad)
    assert net.predict(x.astype(np.float64)).dtype == np.float32
    assert net.predict(np.ones((2, 3), int)).tobytes() == net.predict(x).tobytes()


def retrain(net: Sequential) -> None:
    Trainer(net, MeanSquaredError(), SGD(0.5)).fit(*problem(MeanSquaredError(), 8, 2, "float32"))


def freeze_and_retrain(net: Sequential) -> None:
    net.layers[0].freeze()
    retrain(net)


def other_values(net: Sequential) -> None:
    net.layers[0].weight.value *= 2


def adopt(net: Sequential) -> None:
    net.layers[0].weight.adopt(net.layers[0].weight.value * 2)


def other_layer(net: Sequential) -> None:
    net.layers = (*net.layers[:-1], ReLU())  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [retrain, freeze_and_retrain, other_values, adopt, other_layer])
def test_no_address_is_out_of_date(change: Callable[[Sequential], None], made: list[bool]) -> None:
    net, x = small(), problem(MeanSquaredError(), 2, 2, "float32")[0]
    before = net.predict(x).tobytes()
    for _ in range(2):
        net.predict(x)
        change(net)
        expected = np.asarray(net.predict(x.tolist()))
        for _ in range(3):
            assert net.predict(x).tobytes() == expected.tobytes() != before
    assert made.count(True) >= 4


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_predict_on_their_own(copied: Callable[[Any], Any]) -> None:
    net, x = small(), problem(MeanSquaredError(), 2, 2, "float32")[0]
    before = [net.predict(x).tobytes() for _ in range(3)]
    other = copied(net)
    other.layers[0].weight.value *= 2
    assert [net.predict(x).tobytes() for _ in range(3)] == before
    assert not {other.predict(x).tobytes() for _ in range(3)} & {*before}


def test_other_kernels_run_no_program(made: list[bool]) -> None:
    net, x = small(), np.ones((2, 3), np.float32)
    for _ in range(3):
        net.predict(x)
    kernels.use("numpy")
    for _ in range(3):
        net.predict(x)
    assert made.count(True) == 3


def test_many_sizes(made: list[bool]) -> None:
    net = small()
    for rows in [*range(1, 100)] * 2:
        net.predict(np.ones((rows, 3), np.float32))
    assert len(net._predictions._free) <= programmed.SHAPES
    assert len(net._predictions._met) <= programmed.SHAPES + 1


def test_threads(made: list[bool]) -> None:
    net = make_small().model
    inputs = [problem(MeanSquaredError(), rows, 1, "float64")[0] for rows in (1, 2, 3)]
    expected = [net.predict(x).tobytes() for x in inputs]
    barrier, wrong = Barrier(4), list[int]()

    def work() -> None:
        barrier.wait(60)
        wrong.append(sum(net.predict(inputs[k % 3]).tobytes() != expected[k % 3] for k in range(600)))

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [0] * 4
    assert made.count(True) > 600
