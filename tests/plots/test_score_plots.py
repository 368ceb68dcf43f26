"""ROC and precision-recall curves, calibration, worst samples, and the animation of a decision boundary."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from deepbp import Sequential, plots
from deepbp.errors import ConfigurationError, DataError, ShapeError
from deepbp.kernels import softmax
from deepbp.layers import Dense, Flatten
from deepbp.losses import MeanSquaredError, SigmoidBinaryCrossEntropy, SoftmaxCrossEntropy
from deepbp.metrics import ROCAUC
from deepbp.optimizers import SGD

pytestmark = pytest.mark.usefixtures("no_screen")

RNG = np.random.default_rng(0)
LABELS = np.arange(60) % 3
SCORES = np.eye(3)[LABELS] + RNG.normal(size=(60, 3)).round(1)  # with equal scores
NAMES = ["blue", "green", "red"]


def labels_of(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_points_of_the_roc_curve() -> None:
    ax = plots.roc_curve([0.1, 0.5, 0.5, 0.9], [0, 0, 1, 1])
    assert_array_equal(ax.lines[1].get_xdata(), [0, 0, 0.5, 1])  # two equal scores are one threshold
    assert_array_equal(ax.lines[1].get_ydata(), [0, 0.5, 1, 1])
    assert labels_of(ax) == ["chance", "area 0.875"]


def test_areas_and_average_precisions_are_those_of_references() -> None:
    yes = (LABELS == 2).reshape(-1, 1).astype(float)
    area = ROCAUC()(SCORES[:, 2:], yes)
    assert labels_of(plots.roc_curve(SCORES, LABELS))[3] == f"2: area {area:.3g}"
    reference = pytest.importorskip("sklearn.metrics").average_precision_score(yes[:, 0], SCORES[:, 2])
    drawn = plots.precision_recall_curve(SCORES, LABELS, names=NAMES)
    assert labels_of(drawn)[2] == f"red: average precision {reference:.3g}"
    assert labels_of(plots.precision_recall_curve(SCORES[:, 2:], yes)) == [f"average precision {reference:.3g}"]


def test_names_of_classes_stand_for_labels() -> None:
    texts = np.array(NAMES)[LABELS]
    assert labels_of(plots.roc_curve(SCORES, texts)) == labels_of(plots.roc_curve(SCORES, LABELS, names=NAMES))
    title = plots.confusion_matrix(SCORES, LABELS).get_title()
    named = plots.confusion_matrix(np.array(NAMES)[SCORES.argmax(axis=1)], texts)
    assert named.get_title() == title
    assert [label.get_text() for label in named.get_xticklabels()] == NAMES
    with pytest.raises(ConfigurationError, match=r"names: expected all classes, got .* without 'red'"):
        plots.roc_curve(SCORES, texts, names=["blue", "green", "yellow"])


def test_refusals_of_curves() -> None:
    with pytest.raises(DataError, match="roc_curve: expected targets of both kinds, got only no"):
        plots.roc_curve([0.1, 0.2], [0, 0])
    with pytest.raises(ConfigurationError, match="names: expected one for each of 3 classes"):
        plots.precision_recall_curve(SCORES, LABELS, names=["a", "b"])
    with pytest.raises(DataError, match="expected the same number of samples"):
        plots.roc_curve(SCORES, LABELS[:5])


def test_calibration() -> None:
    chances = np.repeat([0.05, 0.75], 100)
    right = np.concatenate([np.arange(100) < 10, np.arange(100) < 60]).astype(int)
    ax = plots.calibration(chances, right)
    assert_allclose(np.column_stack(ax.lines[1].get_data()), [[0.05, 0.1], [0.75, 0.6]], rtol=1e-12)
    assert ax.get_title() == f"expected calibration error {(0.05 + 0.15) / 2:.2g}"
    logits = np.log(chances / (1 - chances)).reshape(-1, 1)
    assert plots.calibration(logits, right, loss=SigmoidBinaryCrossEntropy()).get_title() == ax.get_title()
    several = plots.calibration(softmax(SCORES), np.array(NAMES)[LABELS])
    title = plots.calibration(SCORES, LABELS, loss=SoftmaxCrossEntropy()).get_title()
    assert several.get_title() == title
    assert several.get_xlabel() == "probability of the predicted class"
    with pytest.raises(DataError, match=r"use net\.predict_proba\(x\), or give the loss .* loss=net\.loss"):
        plots.calibration(SCORES, LABELS)
    with pytest.raises(ConfigurationError, match="stand for no probabilities"):
        plots.calibration(SCORES, LABELS, loss=MeanSquaredError())


def test_the_worst_samples_come_first() -> None:
    images = RNG.normal(size=(20, 3, 2))
    net = Sequential([Flatten(), Dense(3)], input_shape=(3, 2), rng=0, dtype="float64")
    net.classes = NAMES
    with pytest.raises(ConfigurationError, match="the network was not trained: give loss="):
        plots.worst_samples(net, images, LABELS[:20])
    net.loss = loss = SoftmaxCrossEntropy()
    axes = plots.worst_samples(net, images, np.array(NAMES)[LABELS[:20]], count=5)
    losses = [-np.log(softmax(net.predict(one[None])))[0, label] for one, label in zip(images, LABELS, strict=False)]
    order = np.argsort(losses)[::-1][:5]
    titles = [ax.get_title().splitlines() for ax in axes]
    assert [title[0] for title in titles] == [f"row {row}: loss {losses[row]:.3g}" for row in order]
    worst, found = order[0], net.predict_classes(images)[order[0]]
    assert titles[0][1] == f"{NAMES[LABELS[worst]]}, not {found}"
    assert_array_equal(axes[0].images[0].get_array(), images[worst])
    flat = plots.worst_samples(net[1:], images.reshape(20, 6), LABELS[:20], count=2, loss=loss)
    assert_allclose([bar.get_height() for bar in flat[0].patches], images[worst].reshape(-1))
    numbers = plots.worst_samples(net, images, images[:, :, 0], count=1, loss=MeanSquaredError())
    assert " not " in numbers[0].get_title()
    with pytest.raises(ShapeError, match="shape: expected that of 6 numbers, got"):
        plots.worst_samples(net, images, LABELS[:20], shape=(2, 2))


def test_an_animation_of_the_boundary(tmp_path: Path) -> None:
    points = RNG.normal(size=(30, 2))
    frames = plots.BoundaryAnimation(points, LABELS[:30], every=2)
    with pytest.raises(ConfigurationError, match="has seen nothing yet"):
        frames.animation()
    net = Sequential([Dense(3)], input_shape=2, rng=0)
    before = net.predict(points)
    net.fit(points, LABELS[:30], loss=SoftmaxCrossEntropy(), optimizer=SGD(1.0), epochs=3, callbacks=[frames])
    assert [epoch for epoch, _ in frames.frames] == [0, 2, 3]
    assert_array_equal(frames.frames[0][1].predict(points), before)
    assert_array_equal(frames.frames[-1][1].predict(points), net.predict(points))
    with pytest.importorskip("PIL.Image").open(frames.save(tmp_path / "boundary.gif")) as picture:
        assert picture.n_frames == 3
        pictures = []
        for frame in range(3):
            picture.seek(frame)
            pictures.append(np.asarray(picture.convert("RGB")))
    assert (pictures[0] != pictures[2]).any()
    with pytest.raises(ConfigurationError, match="every: expected a whole number of at least 1, got 0"):
        plots.BoundaryAnimation(points, LABELS, every=0)


def test_the_loss_of_the_training_decides_where_the_boundary_is() -> None:
    points, labels = np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([0, 1])
    net = Sequential([Dense(1)], input_shape=2, rng=0)
    net.fit(points, labels, loss=SigmoidBinaryCrossEntropy(), optimizer=SGD(1.0), epochs=50)
    given = plots.decision_boundary(net, points, labels, loss=SigmoidBinaryCrossEntropy())
    alone = plots.decision_boundary(net, points, labels)
    assert_array_equal(alone.images[0].get_array(), given.images[0].get_array())
    other = plots.decision_boundary(net, points, labels, threshold=0.9)
    assert (np.asarray(other.images[0].get_array()) != np.asarray(given.images[0].get_array())).any()


def test_names_of_classes_and_columns_stand_in_the_pictures() -> None:
    frame = pytest.importorskip("pandas").DataFrame(RNG.normal(size=(30, 2)), columns=["height", "width"])
    names = np.array(NAMES)[LABELS[:30]]
    net = Sequential([Dense(3)], input_shape=2, rng=0)
    frames = plots.BoundaryAnimation(frame, names)
    net.fit(frame, names, loss=SoftmaxCrossEntropy(), optimizer=SGD(1.0), callbacks=[frames])
    ax = plots.decision_boundary(net, frame[["width", "height"]], names)
    by_label = plots.decision_boundary(net, frame.to_numpy(), LABELS[:30])
    assert_array_equal(ax.collections[-1].get_offsets(), by_label.collections[-1].get_offsets())
    assert labels_of(ax) == labels_of(by_label) == NAMES
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("height", "width")
    (worst,) = plots.worst_samples(net, frame, names, count=1)
    assert [tick.get_text() for tick in worst.get_xticklabels()] == ["height", "width"]
    with pytest.raises(ConfigurationError, match=r"expected all classes, got .* without 'violet'"):
        plots.decision_boundary(net, frame, ["violet"] * 30)


def test_a_notebook_shows_an_animation_with_its_controls() -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    points = RNG.normal(size=(6, 2))
    frames = plots.BoundaryAnimation(points, LABELS[:6])
    net = Sequential([Dense(3)], input_shape=2, rng=0)
    net.fit(points, LABELS[:6], loss=SoftmaxCrossEntropy(), optimizer=SGD(1.0), callbacks=[frames])
    shown: Any = frames.animation()
    assert "<img" in shown._repr_html_()
    assert pyplot.get_fignums() == []  # a figure that is open would be shown once more
