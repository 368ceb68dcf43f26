"""The plot of learning curves."""

from typing import Any

import pytest

from deepbp.errors import ArgumentTypeError, ConfigurationError, DataError
from deepbp.plots import learning_curves
from deepbp.training import History

pytestmark = pytest.mark.usefixtures("no_screen")


def history(**columns: list[float]) -> History:
    made = History()
    for values in zip(*columns.values(), strict=True):
        made.append(dict(zip(columns, values, strict=True)))
    return made


def test_training_and_validation_curves_over_the_epochs() -> None:
    drawn = history(loss=[3.0, 2.0, 1.0], val_loss=[4.0, 3.5, 3.6], accuracy=[0.1, 0.2, 0.3])
    ax = learning_curves(drawn)
    assert [list(line.get_ydata()) for line in ax.lines] == [drawn["loss"], drawn["val_loss"]]  # type: ignore[arg-type]
    assert [list(line.get_xdata()) for line in ax.lines] == [[1, 2, 3]] * 2  # type: ignore[arg-type]
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["training", "validation"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "loss")


def test_epochs_without_validation_do_not_cut_the_line() -> None:
    made = History()
    for epoch in range(1, 7):
        made.append({"loss": 1 / epoch, **({"val_loss": 2 / epoch} if epoch % 2 == 0 else {})})
    _, line = learning_curves(made).lines
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([2, 4, 6], [1, 1 / 2, 1 / 3])  # type: ignore[arg-type]


def test_a_column_without_validation() -> None:
    ax = learning_curves(history(loss=[1.0, 1.0], binary_accuracy=[0.5, 0.75]), "binary_accuracy")
    assert [list(line.get_ydata()) for line in ax.lines] == [[0.5, 0.75]]  # type: ignore[arg-type]
    assert ax.get_ylabel() == "binary accuracy"
    assert ax.get_legend() is None


@pytest.mark.parametrize(("epochs", "marker"), [(1, "o"), (2, "None")])
def test_a_single_epoch_is_a_point(epochs: int, marker: str) -> None:
    assert learning_curves(history(loss=[1.0] * epochs)).lines[0].get_marker() == marker


@pytest.mark.parametrize(
    ("drawn", "name", "error", "message"),
    [
        ([1.0, 0.5], "loss", ArgumentTypeError, r"expected a History, as fit returns it, got \[1.0, 0.5\]"),
        (History(), "loss", DataError, "no epoch was completed"),
        (history(loss=[1.0]), "val_loss", ConfigurationError, r"expected one of \['loss'\], got 'val_loss'"),
    ],
)
def test_invalid_arguments(drawn: Any, name: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        learning_curves(drawn, name)


def test_runs_are_compared_by_color_and_label() -> None:
    runs = {"SGD": history(loss=[3.0, 2.0], val_loss=[3.0, 2.5]), "Adam": history(loss=[2.0, 1.0], val_loss=[2.0, 1.5])}
    together = learning_curves(runs)
    ax = learning_curves(runs["SGD"], label="SGD")
    learning_curves(runs["Adam"], label="Adam", ax=ax)
    for drawn in (together, ax):
        assert [line.get_label() for line in drawn.lines] == ["SGD", "SGD, validation", "Adam", "Adam, validation"]
        assert [line.get_linestyle() for line in drawn.lines] == ["-", "--", "-", "--"]
        colors = [line.get_color() for line in drawn.lines]
        assert colors[0] == colors[1] != colors[2] == colors[3]
    with pytest.raises(ConfigurationError, match=r"expected one of \['loss'\], got 'accuracy'"):
        learning_curves({"a": history(loss=[1.0], accuracy=[1.0]), "b": history(loss=[1.0])}, "accuracy")
