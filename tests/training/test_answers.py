"""From outputs to answers: probabilities, classes and their names, as the loss of the training has them."""

import io
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from attrs import frozen

import deepbp
from deepbp import Sequential, Trainer
from deepbp.callbacks import Callback, ModelCheckpoint
from deepbp.errors import ConfigurationError, DataError, FileFormatError, NotBuiltError
from deepbp.files.network import describe_model, deserialize_model
from deepbp.kernels import sigmoid, softmax
from deepbp.layers import Dense, Sigmoid, Softmax
from deepbp.losses import (
    BinaryCrossEntropy,
    CategoricalHinge,
    CrossEntropy,
    Hinge,
    IgnoreMissing,
    LogPoisson,
    Loss,
    MeanSquaredError,
    OnOutputs,
    SigmoidBinaryCrossEntropy,
    SoftmaxCrossEntropy,
    SumOfLosses,
)
from deepbp.optimizers import SGD
from deepbp.storage.contents import Spec

X = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
NAMES = ("blue", "green", "red")
LABELS = (np.arange(30) + 2) % 3  # the first is not the first in the alphabet
COLOURS = np.array(NAMES)[LABELS]


def trained(loss: Loss[Any], y: Any, outputs: int = 3, *last: Any) -> Sequential:
    net = Sequential([Dense(outputs), *last], input_shape=2, rng=0)
    net.fit(X, y, loss=loss, optimizer=SGD(0.1), epochs=2)
    return net


def stored_and_loaded(net: Sequential) -> Sequential:
    stream = io.BytesIO()
    net.save(stream)
    return deepbp.load(stream.getvalue())


@pytest.mark.parametrize(
    ("loss", "y", "outputs", "last", "probabilities", "classes"),
    [
        (SoftmaxCrossEntropy(), LABELS, 3, (), softmax, lambda raw: raw.argmax(axis=1)),
        (CrossEntropy(), LABELS, 3, (Softmax(),), lambda raw: raw, lambda raw: raw.argmax(axis=1)),
        (SigmoidBinaryCrossEntropy(), LABELS > 0, 1, (), sigmoid, lambda raw: raw[:, 0] > 0),
        (BinaryCrossEntropy(), LABELS > 0, 1, (Sigmoid(),), lambda raw: raw, lambda raw: raw[:, 0] > 0.5),
        (SigmoidBinaryCrossEntropy(), np.eye(3)[LABELS], 3, (), sigmoid, lambda raw: raw > 0),
        (IgnoreMissing(SigmoidBinaryCrossEntropy()), LABELS > 0, 1, (), sigmoid, lambda raw: raw[:, 0] > 0),
        (CategoricalHinge(), LABELS, 3, (), None, lambda raw: raw.argmax(axis=1)),
        (Hinge(), LABELS > 0, 1, (), None, lambda raw: raw[:, 0] > 0),
    ],
    ids=["softmax", "probabilities", "yes or no", "probability", "several", "with missing", "margins", "margin"],
)
def test_the_loss_says_what_outputs_mean(
    loss: Loss[Any], y: Any, outputs: int, last: tuple[Any, ...], probabilities: Any, classes: Any
) -> None:
    net = trained(loss, y, outputs, *last)
    raw = net.predict(X)
    np.testing.assert_array_equal(net.predict_classes(X), classes(raw))
    assert 0 < np.mean(net.predict_classes(X) != 0) < 1, "one answer everywhere would prove little"
    if probabilities is None:
        with pytest.raises(ConfigurationError, match=r"^predict_proba: .* scores of a margin, not probabilities"):
            net.predict_proba(X)
    else:
        np.testing.assert_array_equal(net.predict_proba(X), probabilities(raw))
    again = stored_and_loaded(net)
    assert repr(again.loss) == repr(loss)
    np.testing.assert_array_equal(again.predict_classes(X, batch_size=30), net.predict_classes(X, batch_size=30))


@pytest.mark.parametrize(
    ("loss", "y", "outputs"),
    [
        (MeanSquaredError(), X[:, :1], 1),
        (LogPoisson(), LABELS.reshape(-1, 1), 1),
        (SumOfLosses([OnOutputs(MeanSquaredError(), 0, 1), OnOutputs(SigmoidBinaryCrossEntropy(), 1, 2)]), X > 0, 2),
    ],
    ids=["values", "counts", "several"],
)
def test_losses_without_classes(loss: Loss[Any], y: Any, outputs: int) -> None:
    net = trained(loss, y, outputs)
    with pytest.raises(ConfigurationError, match=r"^predict_classes: .* stand for no classes: use net\.predict\(x\)$"):
        net.predict_classes(X)
    if outputs == 1:
        with pytest.raises(ConfigurationError, match=r"^predict_proba: .* not probabilities: use net\.predict\(x\)$"):
            net.predict_proba(X)


def test_an_untrained_network_knows_no_loss_until_it_is_set() -> None:
    net = Sequential([Dense(3)], input_shape=2, rng=0)
    fix = "set net.loss, for example to deepbp.losses.SoftmaxCrossEntropy()"
    for method in (net.predict_proba, net.predict_classes):
        with pytest.raises(ConfigurationError, match=re.escape(fix)):
            method(X)
    net.loss = SoftmaxCrossEntropy()
    np.testing.assert_array_equal(net.predict_proba(X), softmax(net.predict(X)))
    with pytest.raises(NotBuiltError):
        Sequential([Dense(3)]).predict_classes(X)
    with pytest.raises(TypeError, match="loss: expected an instance such as"):
        net.loss = "mse"  # type: ignore[assignment]


def test_steps_and_checkpoints_know_the_loss(tmp_path: Any) -> None:
    net = Sequential([Dense(3)], input_shape=2, rng=0)
    Trainer(net, SoftmaxCrossEntropy(), SGD(0.1)).step(X, LABELS)
    assert repr(net.loss) == "SoftmaxCrossEntropy()"
    path = tmp_path / "best.npz"
    Trainer(net, CategoricalHinge(), SGD(0.1), callbacks=[ModelCheckpoint(path)]).fit(X, LABELS)
    assert repr(deepbp.load(path).loss) == repr(net.loss) == "CategoricalHinge()"


def test_a_loss_of_ones_own_is_left_out_of_files() -> None:
    net = trained(OwnLoss(), LABELS)
    assert net.predict_classes(X).shape == (30,)
    again = stored_and_loaded(net)
    assert again.loss is None


@frozen
class OwnLoss(SoftmaxCrossEntropy):
    pass


def texts(kind: str) -> Any:
    if kind in ("series", "category"):
        pandas = pytest.importorskip("pandas")
        return pandas.Series(COLOURS, dtype="category" if kind == "category" else None)
    if kind == "polars":
        return pytest.importorskip("polars").Series(COLOURS.tolist())
    return {"array": COLOURS, "objects": COLOURS.astype(object), "list": COLOURS.tolist(), "column": COLOURS[:, None]}[
        kind
    ]


@pytest.mark.parametrize("kind", ["array", "objects", "list", "column", "series", "category", "polars"])
def test_text_becomes_labels_and_labels_become_text(kind: str) -> None:
    named, numbered = trained(SoftmaxCrossEntropy(), texts(kind)), trained(SoftmaxCrossEntropy(), LABELS)
    np.testing.assert_array_equal(named.predict(X), numbered.predict(X))
    assert named.classes == NAMES
    assert numbered.classes is None
    np.testing.assert_array_equal(named.predict_classes(X), np.array(NAMES)[numbered.predict_classes(X)])
    loss = SoftmaxCrossEntropy()
    assert named.evaluate(X, texts(kind), loss=loss) == numbered.evaluate(X, LABELS, loss=loss)
    again = stored_and_loaded(named)
    assert again.classes == NAMES
    assert again.predict_classes(X)[0] in NAMES


def test_two_names_of_one_output() -> None:
    answers = np.where(LABELS > 0, "yes", "no")
    net = trained(SigmoidBinaryCrossEntropy(), answers, 1)
    assert net.classes == ("no", "yes")
    np.testing.assert_array_equal(net.predict_classes(X) == "yes", net.predict(X)[:, 0] > 0)
    plain = trained(SigmoidBinaryCrossEntropy(), (LABELS > 0).astype(float), 1)
    np.testing.assert_array_equal(net.predict(X), plain.predict(X))


def test_names_that_do_not_fit() -> None:
    net = Sequential([Dense(4)], input_shape=2, rng=0)
    options: dict[str, Any] = {"loss": SoftmaxCrossEntropy(), "optimizer": SGD(0.1)}
    with pytest.raises(DataError, match=r"y: expected 4 classes, .* got 3, .*: set net\.classes to all names"):
        net.fit(X, COLOURS, **options)
    assert net.classes is None
    assert net.loss is None
    net.classes = [*NAMES, "yellow"]
    net.fit(X, COLOURS, **options)
    with pytest.raises(DataError, match=r"y: expected names of classes, .* got 'pink' in row 1"):
        net.fit(X[:2], ["red", "pink"], **options)
    with pytest.raises(DataError, match=r"got 3, .*: build the network with Dense\(3\) at its end"):
        Sequential([Dense(2)], input_shape=2).fit(X, COLOURS, **options)
    for wrong in (["a", "b"], ["a", "b", "c", "c"], [1, 2, 3, 4], "abcd"):
        with pytest.raises(ConfigurationError, match=r"^classes: expected"):
            net.classes = wrong  # type: ignore[assignment]
    with pytest.raises(TypeError, match="number the texts first"):
        net.fit(X, COLOURS, loss=MeanSquaredError(), optimizer=SGD(0.1))


def test_nothing_is_remembered_of_a_training_that_never_began() -> None:
    class Fails(Callback):
        def on_fit_start(self, trainer: Trainer) -> None:
            raise RuntimeError("mine")

    net = Sequential([Dense(3)], input_shape=2, rng=0)
    with pytest.raises(RuntimeError):
        net.fit(X, COLOURS, loss=SoftmaxCrossEntropy(), optimizer=SGD(0.1), callbacks=[Fails()])
    assert net.classes is None
    assert net.loss is None


def test_a_stream_of_texts_needs_the_names_before() -> None:
    def batches() -> Iterator[tuple[Any, Any]]:
        for start in range(0, 30, 2):
            yield X[start : start + 2], COLOURS[start : start + 2]

    net = Sequential([Dense(3)], input_shape=2, rng=0)
    options: dict[str, Any] = {"loss": SoftmaxCrossEntropy(), "optimizer": SGD(0.1)}
    with pytest.raises(DataError, match=r"set net\.classes to all names, in the order of the outputs"):
        net.fit(batches, **options)
    net.classes = NAMES
    net.fit(batches, **options)
    assert net.predict_classes(batches).shape == (30,)


@pytest.mark.parametrize("position", [-1, 1, 99, True, "0"])
def test_junk_in_place_of_a_loss_is_refused(position: Any) -> None:
    net = trained(SoftmaxCrossEntropy(), COLOURS)
    description, arrays = describe_model(net)
    assert description["loss"] == 0
    description["loss"] = position
    with pytest.raises(FileFormatError, match="loss: expected"):
        deserialize_model(description, Spec.of_all(arrays), arrays.__getitem__, Sequential)
