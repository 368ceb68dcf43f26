"""The progress bar: on stderr, where a person can see it or asked for it, and nowhere else."""

import io
import sys
from typing import Any

import pytest
from problems import SQUARES

from deepbp.errors import ArgumentTypeError
from deepbp.optimizers import SGD
from deepbp.training import MeanAbsoluteError

X, Y, LOSS = SQUARES.x, SQUARES.y, SQUARES.loss


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def fit(progress: bool | None, epochs: int = 3) -> dict[str, list[float]]:
    return SQUARES.network().fit(
        X,
        Y,
        loss=LOSS,
        optimizer=SGD(0.01),
        epochs=epochs,
        metrics=[MeanAbsoluteError()],
        validation_data=(X, Y),
        progress=progress,
    )


@pytest.mark.parametrize("progress", [None, False])
def test_silent_where_nobody_looks(progress: bool | None, capfd: pytest.CaptureFixture[str]) -> None:
    fit(progress)
    assert tuple(capfd.readouterr()) == ("", "")


def test_asked_for_it_shows_epochs_losses_and_metrics_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    history = fit(True)
    out, err = capsys.readouterr()
    assert out == ""
    last = err.strip().split("\r")[-1]
    assert "3/3" in last
    for name, column in history.items():
        assert f"{name}={column[-1]:.4g}" in last


def test_shown_on_a_terminal_unless_told_not_to(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    fit(False)
    assert terminal.getvalue() == ""
    fit(None, epochs=7)
    assert "7/7" in terminal.getvalue()
    assert capsys.readouterr().out == ""


def test_predict_and_evaluate_never_print(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    net = SQUARES.network()
    net.predict(X, batch_size=2)
    net.evaluate(X, Y, loss=LOSS, batch_size=2)
    assert terminal.getvalue() == capsys.readouterr().out == ""


def test_the_bar_is_closed_when_training_fails(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(*_: Any) -> float:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError):
        SQUARES.network().fit(X, Y, loss=LOSS, optimizer=SGD(0.01), metrics=[fail], progress=True)
    assert capsys.readouterr().err.endswith("\n")  # the shell's prompt starts on a line of its own


@pytest.mark.parametrize("progress", ["yes", 1, 0.5])
def test_yes_no_or_decide(progress: Any) -> None:
    with pytest.raises(ArgumentTypeError, match=f"progress: expected True, False or None, got {progress!r}"):
        fit(progress)
