"""Progress: on stderr, where a person can see it or asked for it, and nowhere else."""

import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from problems import SQUARES

from deepbp import Trainer
from deepbp.errors import ArgumentTypeError
from deepbp.optimizers import SGD
from deepbp.training import Callback, MeanAbsoluteError, progress
from deepbp.training.progress import Display, ProgressLike, open_display

X, Y, LOSS = SQUARES.x, SQUARES.y, SQUARES.loss


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return 2


def fit(progress: Any, epochs: int = 3) -> dict[str, list[float]]:
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


@pytest.mark.parametrize("progress", [True, "steps", "text"])
def test_silent_without_stderr(
    progress: ProgressLike, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", None)  # as under pythonw, or with `2>&-`
    fit(progress)
    assert capsys.readouterr().out == ""


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


@pytest.mark.parametrize("progress", ["yes", 1, 0.5, "Text"])
def test_yes_no_or_decide(progress: Any) -> None:
    with pytest.raises(
        ArgumentTypeError, match=f"progress: expected True, False, None, 'steps' or 'text', got {progress!r}"
    ):
        fit(progress)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A clock that a test turns: ``clock.now = 3.0``."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(progress, "monotonic", lambda: Clock.now)
    return Clock


@contextmanager
def opened(epochs: int, shown: ProgressLike) -> Iterator[Display]:
    display = open_display(epochs, shown)
    assert display is not None
    try:
        yield display
    finally:
        display.close()


def run(shown: ProgressLike, epochs: int, until: int, total: int | None = 20, clock: Any = None) -> None:
    """As the trainer does it: two steps an epoch, 30 seconds each where there is a clock."""
    with opened(epochs, shown) as display:
        for epoch in range(1, until + 1):
            for step in (1, 2):
                if clock is not None:
                    clock.now += 30
                display.step(epoch / 4 + step, 10 * step, total)
            display.epoch({"loss": epoch / 8, "val_loss": 1e-5})


def test_text_is_a_line_for_each_epoch(clock: Any, capfd: pytest.CaptureFixture[str]) -> None:
    run("text", 12, until=12)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines() == [
        f"epoch {epoch:2}/12  0.0 s  loss={epoch / 8:.4g}  val_loss=1e-05" for epoch in range(1, 13)
    ]
    assert all(character.isprintable() or character == "\n" for character in err)


def test_of_many_epochs_text_shows_each_hundredth_and_always_the_last(
    clock: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run("text", 1500, until=1500)
    shown = [int(line[6:10]) for line in capsys.readouterr().err.splitlines()]
    assert shown == list(range(15, 1501, 15))
    run("text", 1500, until=40)  # stopped early
    shown = [int(line[6:10]) for line in capsys.readouterr().err.splitlines()]
    assert shown == [15, 30, 40]


def test_text_is_not_silent_for_longer_than_a_minute(clock: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run("text", 1500, until=2, clock=clock)
    assert capsys.readouterr().err.splitlines() == [
        "epoch    1/1500  60.0 s  loss=0.125  val_loss=1e-05",
        "epoch    2/1500  120.0 s  loss=0.25  val_loss=1e-05",
    ]
    with opened(1, "text") as display:
        for seen, total in ((10, 30), (20, 30), (20, None), (30, None), (30, 30)):
            clock.now += 45
            display.step(0.5, seen, total)
    assert capsys.readouterr().err.splitlines() == [
        "epoch 1/1  90.0 s  20/30 samples  loss=0.5",
        "epoch 1/1  180.0 s  30 samples  loss=0.5",
    ]


@pytest.mark.parametrize("total", [20, None])
def test_steps_have_a_bar_of_their_own(total: int | None, clock: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run("steps", 3, until=3, total=total, clock=clock)
    out, err = capsys.readouterr()
    assert out == ""
    for epoch in (1, 2, 3):
        assert f"loss={epoch / 4 + 2:.4g}" in err
    assert err.count(f"20/{total or '?'} samples") >= 3
    assert "3/3 epochs" in err.split("\r")[-1]
    assert err.endswith("\n")


def test_the_bar_of_steps_begins_anew_with_each_epoch(clock: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with opened(2, "steps") as display:
        for total in (20, 30):
            clock.now += 1
            display.step(0.5, 15, total)
    assert "15/30 samples" in capsys.readouterr().err


def test_a_bar_is_not_drawn_more_often_than_eyes_can_see(clock: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with opened(1, "steps") as display:
        display.step(0.5, 1, 1000)
        before = capsys.readouterr().err
        for seen in range(2, 900):
            display.step(0.5, seen, 1000)
        assert capsys.readouterr().err == ""
    assert "1/1000 samples" in before


def test_the_bar_of_epochs_has_no_steps_unless_an_epoch_takes_long(
    clock: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run(True, 3, until=3)
    assert "samples" not in capsys.readouterr().err
    with opened(3, True) as display:
        for step in range(1, 61):  # 4 seconds an epoch
            clock.now += 0.2
            display.step(0.5, step % 20 * 10, 200)
            assert ("samples" in capsys.readouterr().err) is (step >= 10)
            if step % 20 == 0:
                display.epoch({"loss": 0.5})
                capsys.readouterr()


def screen(text: str) -> list[str]:
    """What a terminal shows after this text."""
    rows, row = [""], 0
    for part in re.findall(r"\r|\n|\x1b\[A|[^\r\n\x1b]+", text):
        if part == "\n":
            row += 1
            rows += [""] * (row + 1 - len(rows))
        elif part == "\x1b[A":
            row -= 1
        elif part == "\r":
            column = 0
        else:
            rows[row] = rows[row][:column] + part + rows[row][column + len(part) :]
            column += len(part)
        if part != "\x1b[A" and part in "\r\n":
            column = 0
    return [row.rstrip() for row in rows]


@pytest.mark.parametrize("shown", [True, "steps"])
@pytest.mark.parametrize("columns", [80, 60, 300])
def test_no_number_is_cut_off(shown: ProgressLike, columns: int, clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((columns, 40)))
    names = ("loss", "accuracy", "balanced_accuracy", "macro_f1")
    row = {prefix + name: 1e-5 * len(prefix + name) for prefix in ("", "val_") for name in names}
    with opened(2, shown) as display:
        for epoch in (1, 2):
            for step in (1, 2):
                clock.now += 0.3
                display.step(0.5, 10 * step, 20)
            display.epoch({name: epoch * value for name, value in row.items()})
            texts = [f"{name}={epoch * value:.4g}" for name, value in row.items()]
            rows = screen(terminal.getvalue())
            assert all(text in " ".join(rows) for text in texts)
            assert max(map(len, rows)) <= columns
    rows = screen(terminal.getvalue())
    assert rows[0].startswith("2/2 epochs")
    assert all(text in " ".join(rows) for text in texts)
    assert "samples" not in " ".join(rows)
    assert max(map(len, rows)) <= columns
    assert rows[-1] == ""  # the shell's prompt
    assert len(rows) == {300: 2, 80: 5, 60: 6}[columns]


@pytest.mark.parametrize(("shown", "first"), [("text", "epoch 2/3  "), (True, "\r1/3 epochs")])
def test_after_a_resume_the_epochs_count_on(
    shown: ProgressLike, first: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Stop(Callback):
        def on_step_end(self, trainer: Trainer, loss: float) -> None:
            if trainer.steps == 3:  # the first of two in the second epoch
                trainer.stop(now=True)

    def trainer() -> Trainer:
        return Trainer(SQUARES.network(), LOSS, SGD(0.01), callbacks=[Stop()])

    interrupted, resumed = trainer(), trainer()
    interrupted.fit(X, Y, epochs=3, batch_size=12)
    interrupted.save(tmp_path / "run.npz")
    resumed.load(tmp_path / "run.npz")
    capsys.readouterr()
    resumed.fit(X, Y, epochs=3, batch_size=12, progress=shown)
    err = capsys.readouterr().err
    assert first in err
    assert "3/3" in err
    assert "epoch 1/3" not in err
