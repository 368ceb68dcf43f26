"""Metrics ask the loss of the training what predictions mean: probabilities, logits, or scores of a margin."""

import doctest
import inspect
from inspect import isabstract
from typing import Any

import numpy as np
import pytest

from deepbp import Sequential, Trainer, losses
from deepbp.errors import ConfigurationError, ShapeError
from deepbp.layers import Dense
from deepbp.losses import (
    BinaryCrossEntropy,
    CategoricalHinge,
    CosineSimilarity,
    CrossEntropy,
    Hinge,
    Huber,
    IgnoreMissing,
    KLDivergence,
    LogCosh,
    LogPoisson,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    OnOutputs,
    Poisson,
    Quantile,
    SigmoidBinaryCrossEntropy,
    SigmoidFocal,
    SoftmaxCrossEntropy,
    SoftmaxFocal,
    SquaredHinge,
    SumOfLosses,
    SumSquaredError,
)
from deepbp.metrics import F1, ROCAUC, Accuracy, BinaryAccuracy, Precision, Recall, confusion_matrix
from deepbp.optimizers import SGD
from deepbp.typing import Array

Z = np.array([[0.3, -1.2, 2.5], [0.0, 4.0, -0.7]])
SIGMOID, SOFTMAX = 1 / (1 + np.exp(-Z)), np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)

PROBABILITIES: list[tuple[Loss[Any], Array | None]] = [
    (SigmoidBinaryCrossEntropy(), SIGMOID),
    (SigmoidFocal(), SIGMOID),
    (SoftmaxCrossEntropy(), SOFTMAX),
    (SoftmaxFocal(), SOFTMAX),
    (BinaryCrossEntropy(), Z),
    (CrossEntropy(), Z),
    (KLDivergence(), Z),
    (Poisson(), Z),
    (LogPoisson(), np.exp(Z)),
    *((loss, None) for loss in (Hinge(), SquaredHinge(), CategoricalHinge(), CosineSimilarity())),
    *((loss, None) for loss in (MeanSquaredError(), SumSquaredError(), MeanAbsoluteError(), Huber(), LogCosh())),
    (Quantile(0.5), None),
    (OnOutputs(SigmoidBinaryCrossEntropy(), 1, 3), np.hstack([Z[:, :1], SIGMOID[:, 1:]])),
    (OnOutputs(MeanSquaredError(), 1, 3), None),
    (IgnoreMissing(SigmoidBinaryCrossEntropy()), SIGMOID),
    (SumOfLosses([MeanSquaredError(), Huber()]), None),
    (SumOfLosses([SoftmaxCrossEntropy(), SoftmaxFocal(), MeanSquaredError()]), SOFTMAX),
    (SumOfLosses([SoftmaxCrossEntropy(), SigmoidBinaryCrossEntropy()]), None),  # it is either the one or the other
    (
        SumOfLosses([OnOutputs(LogPoisson(), 0, 1), OnOutputs(SigmoidFocal(), 1, 2), OnOutputs(Huber(), 2, 3)]),
        np.hstack([np.exp(Z[:, :1]), SIGMOID[:, 1:2], Z[:, 2:]]),
    ),
]


@pytest.mark.parametrize(("loss", "expected"), PROBABILITIES, ids=lambda value: repr(value)[:60])
def test_probabilities(loss: Loss[Any], expected: Array | None) -> None:
    before = Z.copy()
    found = loss.probabilities(Z)
    np.testing.assert_array_equal(Z, before)
    if expected is None:
        assert found is None
    else:
        assert found is not None
        np.testing.assert_allclose(found, expected, rtol=1e-14)
        assert loss.probabilities(Z.astype(np.float32)).dtype == np.float32  # type: ignore[union-attr]


def test_probabilities_of_every_loss() -> None:
    every = {getattr(losses, name) for name in losses.__all__}
    kinds = {one for one in every if isinstance(one, type) and issubclass(one, Loss) and not isabstract(one)}
    assert {type(loss) for loss, _ in PROBABILITIES} == kinds


def test_the_example_of_probabilities_runs() -> None:
    text = inspect.getdoc(Loss.probabilities) or ""
    test = doctest.DocTestParser().get_doctest(text, {}, "probabilities", None, None)
    wrong: list[str] = []
    doctest.DocTestRunner().run(test, out=wrong.append)
    assert test.examples
    assert not wrong, "".join(wrong)


def test_softmax_of_sequences() -> None:
    z = np.stack([Z, Z + 1])
    found = SoftmaxCrossEntropy().probabilities(z)
    assert found is not None
    np.testing.assert_allclose(found, np.stack([SOFTMAX, SOFTMAX]), rtol=1e-14)


LOGITS, ANSWERS = np.array([[0.3], [0.2], [-1.0], [2.0]]), np.array([[1], [1], [0], [1]])
BINARY = [SigmoidBinaryCrossEntropy(), SigmoidFocal(), Hinge(), SquaredHinge()]


def network(dtype: str = "float64") -> Sequential:
    net = Sequential([Dense(1)], input_shape=1, rng=0, dtype=dtype)
    net.layers[0].weight.value[...] = 1
    return net


@pytest.mark.parametrize("metric", [Accuracy(), BinaryAccuracy(), Precision(), Recall(), F1()], ids=repr)
@pytest.mark.parametrize("loss", BINARY, ids=repr)
def test_a_net_that_is_right_about_all_is_told_so(metric: Any, loss: Loss[Any]) -> None:
    """The report: compared with 0.5, these logits gave an accuracy of 0.5 and a recall of 1/3."""
    name = metric.name
    assert network().evaluate(LOGITS, ANSWERS, loss=loss, metrics=[metric])[name] == 1
    history = network().fit(
        LOGITS, ANSWERS, loss=loss, optimizer=SGD(0.0), metrics=[metric], validation_data=(LOGITS, ANSWERS)
    )
    assert history[name] == history[f"val_{name}"] == [1.0]
    if not isinstance(metric, Precision):  # of the only 1 that is predicted then
        assert metric(LOGITS, ANSWERS) < 1  # by hand: numbers as they are
    assert type(metric)(loss=loss)(LOGITS, ANSWERS) == 1
    assert repr(type(metric)(loss=loss)) == repr(metric)


def test_logits_that_round_to_one_half_are_above_it() -> None:
    tiny = np.array([[1e-9], [-1e-9]], np.float32)
    assert Accuracy(loss=SigmoidBinaryCrossEntropy())(tiny, np.array([[1], [0]])) == 1


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.9])
def test_a_threshold_is_a_probability(threshold: float, rng: np.random.Generator) -> None:
    z = rng.normal(0, 2, (80, 1))
    y = rng.integers(0, 2, (80, 1))
    for loss, raw in ((SigmoidBinaryCrossEntropy(), z), (BinaryCrossEntropy(), 1 / (1 + np.exp(-z)))):
        for metric in (BinaryAccuracy, Precision, Recall, F1):
            found = metric(threshold=threshold).bind(loss)(raw, y)
            assert found == metric(threshold=threshold)(1 / (1 + np.exp(-z)), y)
        matrix = confusion_matrix(raw, y, threshold=threshold, loss=loss)
        np.testing.assert_array_equal(matrix, confusion_matrix(1 / (1 + np.exp(-z)), y, threshold=threshold))


def test_numbers_of_a_regression_are_compared_as_they_are() -> None:
    values = np.array([[0.3], [0.6]])
    for loss in (MeanSquaredError(), BinaryCrossEntropy(), Poisson()):
        assert Accuracy(loss=loss)(values, np.array([[0], [1]])) == 1
    assert Accuracy(loss=LogPoisson())(np.log(values), np.array([[0], [1]])) == 1


class Probit(Loss[Any]):
    """A user's loss, with probabilities of its own."""

    expects = "logits"

    def probabilities(self, prediction: Array) -> Array | None:
        return 1 - np.exp(-np.exp(prediction))  # ½ at ln ln 2

    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Any]:
        raise NotImplementedError

    def backward(self, saved: Any) -> Array:
        raise NotImplementedError


class Unstated(Probit):
    """Logits of several outputs may be of either kind: there are no probabilities, but 0 is the middle of both."""

    probabilities = Loss.probabilities


def test_losses_of_a_user() -> None:
    z, middle = np.array([[-0.3, -0.4]]), np.log(np.log(2))
    assert -0.4 < middle < -0.3
    assert BinaryAccuracy(loss=Probit())(z, np.array([[1, 0]])) == 1
    assert Unstated().probabilities(z) is None
    assert BinaryAccuracy(loss=Unstated())(np.array([[0.1, -0.1]]), np.array([[1, 0]])) == 1
    np.testing.assert_allclose(Unstated().probabilities(np.array([[0.0]])), 0.5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("loss", "threshold", "message"),
    [
        (SigmoidBinaryCrossEntropy(), 0.0, r"expected a probability between 0 and 1, got 0.0: .* is a logit of 0"),
        (SigmoidBinaryCrossEntropy(), 1.0, "expected a probability between 0 and 1, got 1.0"),
        (Hinge(), 0.0, r"expected 0.5, which stands for a score of 0, got 0.0"),
    ],
)
def test_a_threshold_that_means_nothing_is_refused_at_the_start(
    loss: Loss[Any], threshold: float, message: str
) -> None:
    for metric in (BinaryAccuracy(threshold), F1(threshold=threshold)):
        with pytest.raises(ConfigurationError, match=f"{type(metric).__name__}: threshold: {message}"):
            Trainer(network(), loss, SGD(0.1), metrics=[metric])
        with pytest.raises(ConfigurationError, match=message):
            network().evaluate(LOGITS, ANSWERS, loss=loss, metrics=[metric])
        Trainer(network(), loss, SGD(0.1), metrics=[type(metric)(threshold=0.5)])  # the advice
    with pytest.raises(ConfigurationError, match=message):
        confusion_matrix(LOGITS, ANSWERS, threshold=threshold, loss=loss)


def test_a_loss_that_a_metric_was_given_stays() -> None:
    metric = BinaryAccuracy(loss=Hinge())
    assert metric.bind(BinaryCrossEntropy()).loss == Hinge()
    with pytest.raises(ConfigurationError, match="threshold: expected 0"):
        BinaryAccuracy(0.3, loss=Hinge()).bind(MeanSquaredError())


def test_confusion_matrix_of_logits() -> None:
    message = r"prediction: numbers from -1 to 2 were compared with 0.5: give the loss .* or threshold=0.5"
    with pytest.warns(UserWarning, match=message) as caught:
        np.testing.assert_array_equal(confusion_matrix(LOGITS, ANSWERS), [[1, 0], [2, 1]])
    assert caught[0].filename == __file__
    np.testing.assert_array_equal(confusion_matrix(LOGITS, ANSWERS, threshold=0.5), [[1, 0], [2, 1]])
    np.testing.assert_array_equal(confusion_matrix(LOGITS, ANSWERS, loss=MeanSquaredError()), [[1, 0], [2, 1]])
    for loss in BINARY:
        np.testing.assert_array_equal(confusion_matrix(LOGITS, ANSWERS, loss=loss), [[1, 0], [0, 3]])


@pytest.mark.parametrize("average", ["macro", "weighted"])
def test_area_of_logits_is_that_of_their_probabilities(average: Any, rng: np.random.Generator) -> None:
    learn = pytest.importorskip("sklearn.metrics")
    z, labels = rng.normal(0, 3, (50, 3)), rng.integers(0, 3, 50)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    expected = learn.roc_auc_score(labels, p, multi_class="ovr", average=average)
    assert ROCAUC(average).bind(SoftmaxCrossEntropy())(z, labels) == pytest.approx(expected, rel=1e-12)
    assert ROCAUC(average)(z, labels) != pytest.approx(expected, rel=1e-6)


# Accuracy of one output: Keras' "accuracy" is the binary one there, and so is this.


def test_accuracy_of_one_output_is_the_binary_accuracy(rng: np.random.Generator) -> None:
    learn = pytest.importorskip("sklearn.metrics")
    p, y = rng.random((200, 1)), rng.integers(0, 2, (200, 1))
    expected = learn.accuracy_score(y[:, 0], p[:, 0] > 0.5)
    assert 0 < expected < 1
    for prediction, target in ((p, y), (p, y[:, 0]), (p[:, 0], y[:, 0])):
        assert Accuracy()(prediction, target) == expected
    assert Accuracy(loss=SigmoidBinaryCrossEntropy())(np.log(p / (1 - p)), y) == expected
    assert Accuracy()(np.array([[0.9], [0.8], [0.1], [0.2]]), np.array([[0], [0], [1], [1]])) == 0


def test_accuracy_of_random_answers_is_not_1(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(400, 3)), rng.integers(0, 2, 400)
    net = Sequential([Dense(1)], input_shape=3, rng=0)
    for metric in (Accuracy(), BinaryAccuracy()):
        history = net.fit(x, y, loss=SigmoidBinaryCrossEntropy(), optimizer=SGD(0.0), metrics=[metric])
        assert history[metric.name] == [np.mean((net.predict(x)[:, 0] > 0) == y)]
        assert 0.3 < history[metric.name][0] < 0.7


def test_one_output_is_no_class() -> None:
    with pytest.raises(ShapeError, match=r"SoftmaxCrossEntropy\(\) needs a score for each of at least 2 classes"):
        Accuracy(loss=SoftmaxCrossEntropy())(np.zeros((3, 1)), np.zeros(3, int))
