"""The scale of data: standardization by the first fit, and warnings with advice that works."""

import re
import warnings
from typing import Any

import numpy as np
import pytest

import deepbp
from deepbp import Sequential, Trainer
from deepbp.errors import ConfigurationError
from deepbp.layers import BatchNorm, Dense, Embedding, Flatten, Parallel, Standardize, Tanh
from deepbp.losses import IgnoreMissing, LogPoisson, MeanSquaredError
from deepbp.metrics import R2
from deepbp.optimizers import SGD, Adam

RNG = np.random.default_rng(0)
FIT: dict[str, Any] = {"loss": MeanSquaredError(), "optimizer": SGD(0.01), "batch_size": None}
X = RNG.normal(size=(200, 3)) * (1, 100, 0) + (0, 5000, 7)
Y = np.tanh(X[:, :1]) + (X[:, 1:2] - 5000) / 100


def test_the_first_fit_learns_mean_and_deviation_and_later_ones_do_not() -> None:
    net = Sequential([Standardize(), Dense(1)], rng=0, dtype="float64")
    net.fit(X, Y, validation_split=0.25, shuffle=False, **FIT)
    layer = net.layers[0]
    seen = X[:150]
    np.testing.assert_allclose(layer.mean.value, seen.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(layer.deviation.value[:2], seen.std(axis=0)[:2], rtol=1e-12)
    assert layer.deviation.value[2] == 1, "of a feature that is the same everywhere"
    before = layer.mean.value.copy()
    net.fit(X + 1000, Y, **FIT)
    np.testing.assert_array_equal(layer.mean.value, before)
    net.unfreeze()
    net.fit(X + 1000, Y, **FIT)
    np.testing.assert_allclose(layer.mean.value, X.mean(axis=0) + 1000, rtol=1e-12)


def test_adapting_in_parts_and_at_once_and_from_files_is_the_same(tmp_path: Any) -> None:
    sequences = RNG.normal(size=(50, 4, 2)) * 3 + 1e6
    net = Sequential([Standardize(), Flatten(), Dense(1)], input_shape=(4, 2), rng=0, dtype="float64")
    layer = net.layers[0]
    layer.adapt(sequences)
    at_once = layer.deviation.value.copy()
    np.testing.assert_allclose(at_once, sequences.std(axis=(0, 1)), rtol=1e-9)
    layer.adapt_to(np.split(sequences, [1, 20, 20]))
    np.testing.assert_allclose(layer.deviation.value, at_once, rtol=1e-9)
    again = deepbp.load(net.save(tmp_path / "net.npz"))
    assert again.layers[0].is_adapted
    np.testing.assert_array_equal(again.predict(sequences), net.predict(sequences))


def test_data_sets_are_read_once_more_and_streams_are_refused() -> None:
    class DataSet:
        def __len__(self) -> int:
            return len(X)

        def __getitem__(self, row: int) -> tuple[Any, Any]:
            return X[row], Y[row]

    net = Sequential([Sequential([Standardize(), Dense(1)])], input_shape=3, rng=0, dtype="float64")
    net.fit(DataSet(), **{**FIT, "batch_size": 32})
    np.testing.assert_allclose(net.named_layers()["0.0"].mean.value, X.mean(axis=0), rtol=1e-12)  # type: ignore[attr-defined]
    net = Sequential([Standardize(), Dense(1)], input_shape=3, rng=0)
    with pytest.raises(ConfigurationError, match=r"a stream.*: call net\.named_layers\(\)\['0'\]\.adapt\(x\)"):
        net.fit(lambda: iter([(X, Y)]), **FIT)
    net = Sequential([Parallel([Standardize(), Dense(1)]), Dense(1)], input_shape=3, rng=0)
    with pytest.raises(ConfigurationError, match=r"not the inputs .*: call net\.named_layers\(\)\['0\.branches\.0'\]"):
        net.fit(X, Y, **FIT)
    net.named_layers()["0.branches.0"].adapt(X)  # type: ignore[attr-defined]  # the fix
    net.fit(X, Y, **FIT)


def heard(net: Sequential, x: Any, y: Any, **options: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        net.fit(x, y, **(FIT | options))
    assert all(one.filename == __file__ for one in found)
    return [str(one.message) for one in found]


def plain() -> Sequential:
    return Sequential([Dense(8), Tanh(), Dense(1)], rng=0)


def test_inputs_and_targets_far_from_one_are_told_once() -> None:
    ordinary = X / (1, 1000, 1)
    (told,) = heard(plain(), X, Y)
    assert told.startswith("x: feature 1 has numbers of about ±5e+03, ")
    assert heard(plain(), ordinary, Y) == []
    (told,) = heard(plain(), ordinary, 100 * Y)
    assert told.startswith("y: the targets are numbers of about ±")
    assert heard(Sequential([BatchNorm(), Dense(1)], rng=0), X, Y) == []
    assert heard(Sequential([Standardize(), Dense(1)], rng=0), X, Y) == []
    categories = np.full((20, 1), 99)
    assert heard(Sequential([Embedding(100, 2), Flatten(), Dense(1)], rng=0), categories, Y[:20]) == []
    missing = np.where(Y > 0, np.nan, 100 * Y)
    assert len(heard(plain(), ordinary, missing, loss=IgnoreMissing(MeanSquaredError()))) == 1
    counts = np.full((200, 1), 90)
    assert heard(plain(), ordinary, counts, loss=LogPoisson()) == []
    net = plain()
    net.build(3)
    trainer = Trainer(net, MeanSquaredError(), SGD(1e-9))
    with pytest.warns(UserWarning, match="x: feature 1"):
        trainer.fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer.fit(X, Y)


def test_the_advice_works_when_it_is_pasted() -> None:
    net = plain()
    names: dict[str, Any] = {"net": net, "deepbp": deepbp, "numpy": np, "y": 50 * Y[:, 0] + 300, "x": X}
    advice = heard(net, names["x"], names["y"].tolist())
    net_again = re.search(r"net = .*$", advice[0])
    scaled = re.search(r"train on (.*?), and use (.*)$", advice[1])
    assert net_again
    assert scaled
    exec(net_again[0], names)
    scaled_y = eval(scaled[1], names)
    options = FIT | {"optimizer": Adam(0.01), "batch_size": 32, "epochs": 60, "rng": 0}
    assert heard(names["net"], X, scaled_y, **options) == []
    prediction = eval(scaled[2], names)
    assert R2()(prediction, names["y"].reshape(-1, 1)) > 0.8


def test_estimators_get_the_advice_of_scikit_learn() -> None:
    pytest.importorskip("sklearn")
    from deepbp.sklearn import NetworkRegressor

    with pytest.warns(UserWarning, match=r"^[xy]: .* numbers of about") as found:
        NetworkRegressor(epochs=1, random_state=0).fit(X, 1000 * Y[:, 0])
    assert [one.filename for one in found] == [__file__] * 2
    assert "StandardScaler() before the estimator" in str(found[0].message)
    assert "sklearn.compose.TransformedTargetRegressor(estimator, " in str(found[1].message)
