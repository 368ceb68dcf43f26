"""Ctrl-C: the step at hand is finished, the history so far returned, and all is as it was before."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from problems import SQUARES, values

from deepbp import Sequential, Trainer
from deepbp.optimizers import SGD
from deepbp.training import Callback, EarlyStopping

X, Y, LOSS = SQUARES.x, SQUARES.y, SQUARES.loss


@pytest.fixture(autouse=True)
def default_handler() -> Iterator[None]:
    """Whatever runs the tests may have a handler of its own."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    after = signal.signal(signal.SIGINT, before)
    assert after is signal.default_int_handler, "fit did not put the handler back"


class At(Callback):
    """Does something after so many steps; notes that the end was announced."""

    def __init__(self, step: int, act: Callable[[], object]) -> None:
        self.step, self.act, self.ended = step, act, 0

    def on_step_end(self, trainer: Trainer, loss: float) -> None:
        if trainer.steps == self.step:
            self.act()

    def on_fit_end(self, trainer: Trainer) -> None:
        self.ended += 1


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def test_the_step_is_finished_and_the_history_returned(capfd: pytest.CaptureFixture[str]) -> None:
    net, twin = SQUARES.network(), SQUARES.network()
    at = At(8, press)
    trainer = Trainer(net, LOSS, SGD(0.01), callbacks=[at])
    history = trainer.fit(X, Y, epochs=100, batch_size=8)  # 3 steps an epoch
    assert history.interrupted
    assert history.epochs == trainer.epoch == 2
    assert trainer.steps == 8
    assert at.ended == 1
    assert "stopping after this step; Ctrl-C again stops at once" in capfd.readouterr().err
    other = Trainer(twin, LOSS, SGD(0.01), callbacks=[At(8, lambda: None)])
    assert other.fit(X, Y, epochs=2, batch_size=8) == history
    order = twin.generator.permutation(23)
    for start in 0, 8:
        other.step(X[order[start : start + 8]], Y[order[start : start + 8]])
    assert values(net) == values(twin)  # eight whole updates, and nothing else


def test_the_next_fit_goes_on() -> None:
    trainer = Trainer(SQUARES.network(), LOSS, SGD(0.01), callbacks=[At(2, press)])
    assert trainer.fit(X, Y, epochs=100).interrupted
    history = trainer.fit(X, Y, epochs=3)
    assert not history.interrupted
    assert history.epochs == 2 + 3  # one step an epoch: the one in which Ctrl-C came was finished
    assert np.isfinite(trainer.evaluate(X, Y)["loss"])


def test_ctrl_c_from_outside_at_any_moment() -> None:
    thread = threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT))

    net = SQUARES.network()
    history = net.fit(X, Y, loss=LOSS, optimizer=SGD(1e-5), epochs=10**6, callbacks=[At(2, thread.start)])
    thread.join()
    assert history.interrupted
    assert 0 < history.epochs < 10**6
    assert np.isfinite(net.predict(X)).all()


def test_a_second_ctrl_c_stops_at_once() -> None:
    reached: list[int] = []

    def press_twice() -> None:
        press()
        reached.append(1)
        press()
        reached.append(2)

    trainer = Trainer(SQUARES.network(), LOSS, SGD(0.01), callbacks=[At(3, press_twice)])
    assert trainer.fit(X, Y, epochs=100).interrupted
    assert reached == [1]
    assert trainer.steps == 3
    assert trainer.fit(X, Y, epochs=1).interrupted is False


def test_ctrl_c_between_two_epochs_keeps_the_one_that_is_complete() -> None:
    class EndOfEpoch(Callback):
        def on_epoch_end(self, trainer: Trainer, row: Mapping[str, float]) -> None:
            press()

    trainer = Trainer(SQUARES.network(), LOSS, SGD(0.01), callbacks=[EndOfEpoch()])
    history = trainer.fit(X, Y, epochs=9, validation_data=(X, Y))
    assert history.interrupted
    assert trainer.epoch == len(history["loss"]) == len(history["val_loss"]) == 1


def raise_it(*_: Any) -> float:
    raise KeyboardInterrupt


@pytest.mark.parametrize("arguments", [{"metrics": [raise_it]}, {"callbacks": [At(1, raise_it)]}])
def test_keyboard_interrupt_from_within(arguments: dict[str, Any]) -> None:
    net = SQUARES.network()
    history = net.fit(X, Y, loss=LOSS, optimizer=SGD(0.01), epochs=3, **arguments)
    assert history.interrupted
    assert history == {}
    assert not net.fit(X, Y, loss=LOSS, optimizer=SGD(0.01)).interrupted


def fail() -> None:
    raise ZeroDivisionError


def test_the_handler_is_put_back_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError):
        SQUARES.network().fit(X, Y, loss=LOSS, optimizer=SGD(0.01), callbacks=[At(1, fail)])
    with pytest.raises(KeyboardInterrupt):
        press()


def test_a_handler_of_the_programs_own_is_respected() -> None:
    pressed: list[int] = []

    def own(number: int, frame: object) -> None:
        pressed.append(number)

    signal.signal(signal.SIGINT, own)
    try:
        history = SQUARES.network().fit(X, Y, loss=LOSS, optimizer=SGD(0.01), epochs=3, callbacks=[At(1, press)])
        assert signal.getsignal(signal.SIGINT) is own
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    assert pressed == [signal.SIGINT]
    assert history.epochs == 3
    assert not history.interrupted


def test_a_handler_that_a_callback_installs_stays() -> None:
    def own(number: int, frame: object) -> None:
        raise AssertionError("nobody pressed")

    at = At(1, lambda: signal.signal(signal.SIGINT, own))
    SQUARES.network().fit(X, Y, loss=LOSS, optimizer=SGD(0.01), callbacks=[at])
    assert signal.signal(signal.SIGINT, signal.default_int_handler) is own


def test_words_that_cannot_be_said_are_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal may come in the middle of a line that is being written, or where there is no terminal any more."""

    class Busy:
        def write(self, text: str) -> int:
            raise RuntimeError("reentrant call")

    def press_unheard() -> None:
        with monkeypatch.context() as patch:
            patch.setattr("sys.stderr", Busy())
            press()

    history = SQUARES.network().fit(X, Y, loss=LOSS, optimizer=SGD(0.01), epochs=3, callbacks=[At(1, press_unheard)])
    assert history.interrupted
    assert history.epochs == 1


def test_an_epoch_that_was_not_validated_is_not_complete() -> None:
    """EarlyStopping would miss its column."""
    stopping = EarlyStopping("val_loss")
    trainer = Trainer(SQUARES.network(), LOSS, SGD(0.01), callbacks=[At(2, press), stopping])
    history = trainer.fit(X, Y, epochs=3, validation_data=(X, Y))
    assert history.interrupted
    assert trainer.epoch == len(history["loss"]) == len(history["val_loss"]) == 1
    assert trainer.steps == 2


def test_fit_in_another_thread_leaves_signals_alone() -> None:
    seen: list[Any] = []

    def train(net: Sequential) -> None:
        at = At(1, lambda: seen.append(signal.getsignal(signal.SIGINT)))
        seen.append(net.fit(X, Y, loss=LOSS, optimizer=SGD(0.01), epochs=2, callbacks=[at]).epochs)

    thread = threading.Thread(target=train, args=[SQUARES.network()])
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler, 2]
