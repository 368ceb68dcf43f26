"""Callbacks: which hook is called when, and what they may do."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import define, field
from problems import SQUARES, values

from deepbp import Trainer
from deepbp.callbacks import EarlyStopping, ModelCheckpoint
from deepbp.errors import ArgumentTypeError, ConfigurationError
from deepbp.optimizers import SGD, Adam
from deepbp.training import Callback
from deepbp.training.trainer import EpochFunction

X, Y = SQUARES.x, SQUARES.y


@define(eq=False)
class Log(Callback):
    """Writes down each call; ends training in the epoch ``until``."""

    until: int | None = None
    calls: list[tuple[Any, ...]] = field(factory=list, init=False)

    def on_fit_start(self, trainer: Trainer) -> None:
        self.calls.append(("fit start",))

    def on_epoch_start(self, trainer: Trainer) -> None:
        self.calls.append(("epoch start", trainer.epoch))

    def on_step_end(self, trainer: Trainer, loss: float) -> None:
        self.calls.append(("step end", trainer.steps, loss))
        if self.until == trainer.epoch:
            trainer.stop()

    def on_epoch_end(self, trainer: Trainer, row: Mapping[str, float]) -> None:
        assert row == {name: column[-1] for name, column in trainer.history.items()}
        self.calls.append(("epoch end", trainer.epoch, row["loss"]))

    def on_fit_end(self, trainer: Trainer) -> None:
        self.calls.append(("fit end",))


def test_order_and_arguments_of_the_hooks() -> None:
    log = Log()
    history = SQUARES.network().fit(
        X, Y, loss=SQUARES.loss, optimizer=SGD(0.01), epochs=2, batch_size=12, callbacks=[log]
    )
    assert [call[0] for call in log.calls] == [
        "fit start",
        *["epoch start", "step end", "step end", "epoch end"] * 2,
        "fit end",
    ]
    assert [call[1] for call in log.calls if call[0] == "epoch start"] == [0, 1]
    steps = [call[1:] for call in log.calls if call[0] == "step end"]
    assert [step for step, _ in steps] == [1, 2, 3, 4]
    losses = [loss for _, loss in steps]  # those of the batches, which make up the epochs'
    assert history["loss"] == pytest.approx([sum(losses[:2]), sum(losses[2:])], rel=1e-14)
    assert [call[1:] for call in log.calls if call[0] == "epoch end"] == list(enumerate(history["loss"]))


def test_hooks_without_an_epoch() -> None:
    log = Log()
    SQUARES.network().fit(X, Y, loss=SQUARES.loss, optimizer=SGD(0.01), epochs=0, callbacks=[log])
    assert log.calls == [("fit start",), ("fit end",)]


def test_stop_ends_training_after_the_epoch_and_the_next_fit_goes_on() -> None:
    log = Log(until=1)
    trainer = Trainer(SQUARES.network(), SQUARES.loss, SGD(0.01), callbacks=[log])
    history = trainer.fit(X, Y, epochs=10, batch_size=8)
    assert history.epochs == trainer.epoch == 2
    assert trainer.steps == 6  # the epoch was finished
    assert log.calls[-1] == ("fit end",)
    assert not history.interrupted
    assert trainer.fit(X, Y, epochs=3).epochs == 5


def test_callbacks_are_called_one_after_the_other() -> None:
    order: list[str] = []

    @define(eq=False)
    class Named(Callback):
        name: str

        def on_epoch_end(self, trainer: Trainer, row: Mapping[str, float]) -> None:
            order.append(self.name)

    callbacks = [Named("a"), Callback(), Named("b")]
    SQUARES.network().fit(X, Y, loss=SQUARES.loss, optimizer=SGD(0.01), epochs=2, callbacks=callbacks)
    assert order == ["a", "b", "a", "b"]


def test_a_callback_that_raises_ends_training_and_leaves_it_usable() -> None:
    class Fails(Callback):
        def on_epoch_end(self, trainer: Trainer, row: Mapping[str, float]) -> None:
            if trainer.epoch == 1:
                raise RuntimeError("mine")

    trainer = Trainer(SQUARES.network(), SQUARES.loss, SGD(0.01), callbacks=[Fails()])
    with pytest.raises(RuntimeError, match=r"^mine\nin epoch 2, after update 2, whose weights the model holds$"):
        trainer.fit(X, Y, epochs=5)
    assert trainer.history.epochs == 2
    trainer.callbacks = ()
    assert trainer.fit(X, Y, epochs=1).epochs == 3


def test_a_function_is_called_with_the_trainer_after_each_epoch() -> None:
    seen: list[tuple[int, float]] = []
    network, stops = SQUARES.network(), lambda trainer: trainer.steps == 6 and trainer.stop()
    losses = network.fit(
        X,
        Y,
        loss=SQUARES.loss,
        optimizer=SGD(0.01),
        epochs=9,
        batch_size=12,
        callbacks=[lambda trainer: seen.append((trainer.history.epochs, trainer.history["loss"][-1])), stops],
    )["loss"]
    assert seen == list(enumerate(losses, 1))
    assert len(seen) == 3


def test_callbacks_of_one_call_of_fit_come_behind_those_of_the_trainer(tmp_path: Path) -> None:
    calls: list[str] = []
    trainer = Trainer(SQUARES.network(), SQUARES.loss, SGD(0.01), callbacks=[lambda _: calls.append("own")])
    own = trainer.callbacks
    trainer.fit(X, Y, callbacks=[Callback(), lambda _: calls.append("once")])
    trainer.save(tmp_path / "run.npz")
    trainer.fit(X, Y)
    with pytest.raises(ZeroDivisionError):
        trainer.fit(X, Y, callbacks=[lambda _: 1 / 0])
    assert calls == ["own", "once", "own", "own"]
    assert trainer.callbacks == own
    again = Trainer(SQUARES.network(), SQUARES.loss, SGD(0.01), callbacks=[lambda _: calls.append("again")])
    again.load(tmp_path / "run.npz")  # of a call that was complete: another one may have other callbacks
    again.fit(X, Y, callbacks=[Callback(), EarlyStopping("loss")])
    assert calls[4:] == ["again"]
    assert again.history.epochs == 2


def test_a_call_that_resumes_needs_the_callbacks_that_were_given_to_it(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"

    def trainer() -> Trainer:
        return Trainer(SQUARES.network(), SQUARES.loss, SGD(0.01), callbacks=[Callback()])

    whole, stopped, again = trainer(), trainer(), trainer()
    whole.fit(X, Y, epochs=4, callbacks=[EarlyStopping("loss", patience=9)])
    stop = EpochFunction(lambda it: it.stop(now=True) if it.history.epochs == 2 else None)
    stopped.fit(X, Y, epochs=4, callbacks=[EarlyStopping("loss", patience=9), stop, ModelCheckpoint(path)])
    again.load(path)
    with pytest.raises(ConfigurationError, match=r"^fit: expected the callbacks that were stored, \['Callback', 'E"):
        again.fit(X, Y, epochs=4)
    again.fit(X, Y, epochs=4, callbacks=[EarlyStopping("loss", patience=9), lambda _: None, ModelCheckpoint(path)])
    assert again.history == whole.history
    assert again.parameters.values.tobytes() == whole.parameters.values.tobytes()


@pytest.mark.parametrize("callbacks", [Callback(), [Callback], ["stop"], print, [lambda: None], [lambda a, b: None]])
def test_only_a_list_of_callbacks(callbacks: Any) -> None:
    with pytest.raises(ArgumentTypeError, match=r"callbacks: expected a list of Callback instances or functions of "):
        SQUARES.network().fit(X, Y, loss=SQUARES.loss, optimizer=SGD(0.01), callbacks=callbacks)


def test_a_schedule_is_asked_once_for_each_step_and_its_rate_is_used() -> None:
    asked: list[int] = []

    def schedule(step: int) -> float:
        asked.append(step)
        return 0.01 / (step + 1)

    fitted, by_hand = SQUARES.network(), SQUARES.network()
    trainer = Trainer(fitted, SQUARES.loss, SGD(schedule))
    for _ in range(2):  # the count goes on in the next fit
        trainer.fit(X, Y, epochs=2, batch_size=12, shuffle=False)
    assert asked == list(range(8))
    for step in range(8):
        rows = slice(0, 12) if step % 2 == 0 else slice(12, None)
        Trainer(by_hand, SQUARES.loss, SGD(0.01 / (step + 1))).step(X[rows], Y[rows])
    assert values(fitted) == values(by_hand)


@pytest.mark.parametrize("optimizer", [SGD, Adam])
@pytest.mark.parametrize(("rate", "shown"), [(-1, "-1"), (np.inf, "inf"), (None, "None"), ("0.1", "'0.1'")])
def test_a_schedule_that_returns_nonsense(optimizer: type[SGD] | type[Adam], rate: Any, shown: str) -> None:
    net = SQUARES.network()
    before = values(net)
    message = (
        f"{optimizer.__name__}: learning_rate: expected the schedule to return a number of at least 0, got {shown}"
    )
    with pytest.raises(ConfigurationError, match=message):
        net.fit(X, Y, loss=SQUARES.loss, optimizer=optimizer(lambda step: rate))
    assert values(net) == before
