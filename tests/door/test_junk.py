"""Whatever is thrown at constructors, fit, predict and evaluate: it is accepted, or refused in words, never bare."""

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from refusals import X, Y, built, network

from deepbp import Buffer, Parameter, ParameterVector, Sequential, Trainer, losses
from deepbp.errors import DeepBPError
from deepbp.initializers import Constant, Normal, Orthogonal, Uniform
from deepbp.layers import (
    BatchNorm,
    Bilinear,
    Builder,
    Chain,
    Dense,
    Dropout,
    Embedding,
    GaussianNoise,
    GroupNorm,
    Maxout,
    Reshape,
    Scale,
    TiedDense,
)
from deepbp.losses import CrossEntropy, MeanSquaredError, SoftmaxCrossEntropy, SumSquaredError
from deepbp.optimizers import SGD, Adam, AdamW
from deepbp.training import ROCAUC, BinaryAccuracy, Precision, TopKAccuracy, confusion_matrix

pytestmark = pytest.mark.filterwarnings("ignore:.* takes .* as ")  # whole numbers that float32 rounds

numbers = st.one_of(st.integers(-3, 5), st.floats(), st.booleans(), st.complex_numbers())
scalars = st.one_of(
    st.none(), numbers, st.text(max_size=3), st.binary(max_size=3), st.sampled_from([int, Dense, print])
)
junk = st.one_of(
    scalars,
    st.lists(scalars, max_size=3),
    st.tuples(scalars, scalars),
    st.dictionaries(st.text(max_size=2), scalars, max_size=2),
    st.lists(st.lists(numbers, max_size=3), max_size=3),
    arrays(
        st.sampled_from(
            [np.dtype(kind) for kind in ("f2", "f4", "f8", "i1", "i8", "u4", "?", "c8", "U2", "M8[s]", "O")]
        ),
        array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5),
    ),
)
data = st.one_of(junk, arrays(np.float64, st.sampled_from([(5, 3), (5, 2), (5,), (0, 3), (1, 3)])))

CONSTRUCTORS: dict[str, Callable[[Any], Any]] = {
    "Dense": Dense,
    "Dense use_bias": lambda value: Dense(2, use_bias=value),
    "Dense weight_init": lambda value: Dense(2, weight_init=value),
    "Reshape": Reshape,
    "BatchNorm momentum": lambda value: BatchNorm(momentum=value),
    "Bilinear": Bilinear,
    "Bilinear sizes": lambda value: Bilinear(2, sizes=value),
    "Dropout": Dropout,
    "Embedding": lambda value: Embedding(value, 2),
    "Embedding forward": lambda value: built(Embedding(3, 2), 2).forward(value),
    "GaussianNoise": GaussianNoise,
    "GroupNorm": GroupNorm,
    "Maxout pieces": lambda value: Maxout(2, value),
    "Scale": lambda value: Scale(gain_init=value),
    "Scale forward": lambda value: built(Scale(), 3).forward(value),
    "TiedDense": TiedDense,
    "Chain": Chain,
    "Sequential": Sequential,
    "Sequential input_shape": lambda value: Sequential([Dense(2)], input_shape=value),
    "Sequential dtype": lambda value: Sequential([Dense(2)], dtype=value),
    "Sequential rng": lambda value: Sequential([Dense(2)], rng=value),
    "Sequential build": lambda value: Sequential([Dense(2)]).build(value),
    "Sequential position": lambda value: network()[value],
    "Builder rng": Builder,
    "Builder dtype": lambda value: Builder(0, value),
    "Builder parameter": lambda value: Builder(0).parameter(value, Constant(1)),
    "Builder build": lambda value: Builder(0).build(Dense(2), value),
    "Constant": Constant,
    "Uniform": lambda value: Uniform(low=value),
    "Normal": lambda value: Normal(std=value),
    "Orthogonal": Orthogonal,
    "Parameter": Parameter,
    "Parameter accumulate": lambda value: Parameter(np.ones((2, 2))).accumulate(value),
    "Parameter rows": lambda value: Parameter(np.ones((2, 2))).accumulate_rows(value, value),
    "Parameter product": lambda value: Parameter(np.ones((2, 2))).accumulate_product(value, value),
    "Parameter value": lambda value: setattr(Parameter(np.ones((2, 2))), "value", value),
    "ParameterVector": ParameterVector,
    "Buffer": Buffer,
    "SumSquaredError": SumSquaredError,
    "Huber": losses.Huber,
    "Quantile": losses.Quantile,
    "SigmoidFocal alpha": lambda value: losses.SigmoidFocal(alpha=value),
    "SoftmaxFocal alpha": lambda value: losses.SoftmaxFocal(alpha=value),
    "SigmoidBinaryCrossEntropy pos_weight": lambda value: losses.SigmoidBinaryCrossEntropy(pos_weight=value),
    "SoftmaxCrossEntropy label_smoothing": lambda value: losses.SoftmaxCrossEntropy(label_smoothing=value),
    "SumOfLosses": losses.SumOfLosses,
    "SumOfLosses weights": lambda value: losses.SumOfLosses([MeanSquaredError()], weights=value),
    "OnOutputs": lambda value: losses.OnOutputs(value, 0, 1),
    "OnOutputs stop": lambda value: losses.OnOutputs(MeanSquaredError(), 0, value),
    "OnOutputs targets": lambda value: losses.OnOutputs(MeanSquaredError(), 0, 1, targets=value),
    "sample_weights": lambda value: losses.sample_weights(value, np.array([0, 1, 2]), (3,)),
    "SGD": SGD,
    "SGD momentum": lambda value: SGD(0.1, momentum=value),
    "SGD nesterov": lambda value: SGD(0.1, nesterov=value),
    "Adam": Adam,
    "Adam beta1": lambda value: Adam(beta1=value),
    "AdamW weight_decay": lambda value: AdamW(weight_decay=value),
    "BinaryAccuracy": BinaryAccuracy,
    "Precision": Precision,
    "TopKAccuracy": TopKAccuracy,
    "ROCAUC": ROCAUC,
    "confusion_matrix": lambda value: confusion_matrix(value, value),
    "Trainer model": lambda value: Trainer(value, MeanSquaredError(), SGD(0.1)),
    "Trainer loss": lambda value: Trainer(network(), value, SGD(0.1)),
    "Trainer optimizer": lambda value: Trainer(network(), MeanSquaredError(), value),
    "Trainer metrics": lambda value: Trainer(network(), MeanSquaredError(), SGD(0.1), metrics=value),
    "Trainer callbacks": lambda value: Trainer(network(), MeanSquaredError(), SGD(0.1), callbacks=value),
    "Trainer clip_norm": lambda value: Trainer(network(), MeanSquaredError(), SGD(0.1), clip_norm=value),
    "Trainer rng": lambda value: Trainer(network(), MeanSquaredError(), SGD(0.1), rng=value),
}
OPTIONS = [
    "epochs",
    "batch_size",
    "shuffle",
    "validation_data",
    "validation_split",
    "metrics",
    "callbacks",
    "sample_weight",
    "clip_norm",
    "rng",
    "progress",
]
some = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def accepted_or_refused(call: Callable[[], Any]) -> Any:
    """What the call returns; None where one of deepbp's errors refuses it. Any other error goes through."""
    with np.errstate(all="ignore"), contextlib.suppress(DeepBPError):  # junk may overflow where it is let in
        return call()
    return None


@pytest.mark.parametrize("name", CONSTRUCTORS)
@some
@given(value=junk)
def test_constructors(name: str, value: Any) -> None:
    accepted_or_refused(lambda: CONSTRUCTORS[name](value))


@settings(some, max_examples=300)
@given(x=data, batch_size=st.one_of(st.none(), junk))
def test_predict(x: Any, batch_size: Any) -> None:
    y = accepted_or_refused(lambda: network().predict(x, batch_size))
    if y is not None:
        assert y.shape == (len(x), 2)
        assert np.isfinite(y).all()


@pytest.mark.parametrize("loss", [MeanSquaredError(), CrossEntropy(), SoftmaxCrossEntropy()], ids=repr)
@settings(some, max_examples=100)
@given(x=st.one_of(st.just(X), data), y=st.one_of(st.just(Y), data), weight=st.one_of(st.none(), data))
def test_evaluate(loss: Any, x: Any, y: Any, weight: Any) -> None:
    row = accepted_or_refused(lambda: network().evaluate(x, y, loss=loss, sample_weight=weight))
    if row is not None:
        assert np.isfinite(row["loss"])


@settings(some, max_examples=200)
@given(x=st.one_of(st.just(X), data), y=st.one_of(st.just(Y), data))
def test_fit_data(x: Any, y: Any) -> None:
    net = network()
    weight = net.parameters()[0]
    before = weight.value.copy()
    history = accepted_or_refused(lambda: net.fit(x, y, loss=MeanSquaredError(), optimizer=SGD(0.01)))
    assert np.isfinite(weight.value).all()
    if history is None:
        np.testing.assert_array_equal(weight.value, before)  # refused at the door, before anything changed
    else:
        assert np.isfinite(history["loss"]).all()


@pytest.mark.parametrize("option", OPTIONS)
@some
@given(value=junk)
def test_fit_options(option: str, value: Any) -> None:
    if option == "epochs" and isinstance(value, int):
        value = min(value, 2)  # a request for many epochs is no junk
    accepted_or_refused(lambda: network().fit(X, Y, loss=MeanSquaredError(), optimizer=SGD(0.01), **{option: value}))
