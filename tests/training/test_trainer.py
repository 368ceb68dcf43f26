"""One step, many steps, and what a trainer keeps from call to call."""

from typing import Any

import numpy as np
import pytest
from problems import PROBLEMS, SQUARES, Problem, values

from deepbp import Sequential, Trainer
from deepbp.errors import ArgumentTypeError, ConfigurationError, DataError, DeepBPError, NotBuiltError
from deepbp.layers import Dense, ReLU
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import SGD, Adam, AdamW, Optimizer
from deepbp.training import Callback
from deepbp.typing import Array

X, Y, LOSS = SQUARES.x, SQUARES.y, SQUARES.loss
OPTIMIZERS = [SGD(0.02), SGD(0.01, momentum=0.9, nesterov=True, weight_decay=0.1), Adam(0.01), AdamW(0.01)]
every_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)


@every_optimizer
@pytest.mark.parametrize("clip_norm", [None, 0.5])
@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_steps_by_hand_equal_fit(problem: Problem, optimizer: Optimizer, clip_norm: float | None) -> None:
    fitted, stepped = problem.network(), problem.network()
    history = fitted.fit(
        problem.x, problem.y, loss=problem.loss, optimizer=optimizer, epochs=2, batch_size=9, clip_norm=clip_norm, rng=5
    )
    trainer = Trainer(stepped, problem.loss, optimizer, clip_norm=clip_norm)
    rng = np.random.default_rng(5)
    for epoch in range(2):
        order = rng.permutation(23)
        batches = [order[:9], order[9:18], order[18:]]
        losses = [trainer.step(problem.x[rows], problem.y[rows]) for rows in batches]
        mean = sum(loss * len(rows) for loss, rows in zip(losses, batches, strict=True)) / 23
        expected = sum(losses) if problem.loss.reduction == "sum" else mean
        assert history["loss"][epoch] == pytest.approx(expected, rel=1e-14)
    assert values(fitted) == values(stepped)


def test_step_is_the_documented_one() -> None:
    """Forward, loss, backward and update, written out."""
    net, twin = SQUARES.network(), SQUARES.network()
    trainer = Trainer(net, LOSS, SGD(0.1))
    loss = trainer.step(X, Y)
    prediction, saved = twin.forward(X)
    value, loss_saved = LOSS.forward(prediction, Y)
    twin.backward(saved, LOSS.backward(loss_saved))
    assert loss == value
    for p, q in zip(net.parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(p.grad, q.grad, rtol=1e-14)
        np.testing.assert_allclose(p.value, q.value - 0.1 * q.grad, rtol=1e-13)


@every_optimizer
def test_a_trainer_goes_on_where_it_was(optimizer: Optimizer) -> None:
    whole, parts, anew = (SQUARES.network() for _ in range(3))
    arguments: dict[str, Any] = {"batch_size": 5}  # shuffled: the generator goes on, too
    at_once = Trainer(whole, LOSS, optimizer).fit(X, Y, epochs=5, **arguments)
    trainer = Trainer(parts, LOSS, optimizer)
    trainer.fit(X, Y, epochs=2, **arguments)
    history = trainer.fit(X, Y, epochs=3, **arguments)
    assert history is trainer.history
    assert history == at_once
    assert (trainer.epoch, trainer.steps, trainer.state["step"]) == (5, 25, 25)
    assert values(parts) == values(whole)
    for epochs in (2, 3):  # fit of the network starts a new optimizer state and a new history
        last = anew.fit(X, Y, loss=LOSS, optimizer=optimizer, epochs=epochs, **arguments)
    assert last.epochs == 3
    assert (values(anew) == values(whole)) == (optimizer is OPTIMIZERS[0])  # plain descent has no state


def test_two_trainers_on_one_model_take_turns() -> None:
    net, twin = SQUARES.network(), SQUARES.network()
    first, second = Trainer(net, LOSS, Adam(0.01)), Trainer(net, MeanSquaredError(), SGD(0.1, momentum=0.9))
    for _ in range(3):
        first.step(X, Y)
        second.fit(X, Y, batch_size=None)
    alone = Trainer(twin, LOSS, Adam(0.01))
    velocity = [np.zeros_like(p.value) for p in twin.parameters()]
    for _ in range(3):
        alone.step(X, Y)
        Trainer(twin, MeanSquaredError(), SGD(0.0)).step(X, Y)  # the gradients alone
        for p, v in zip(twin.parameters(), velocity, strict=True):
            v[...] = 0.9 * v + p.grad
            p.value = p.value - 0.1 * v
    for p, q in zip(net.parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(p.value, q.value, rtol=1e-12)


def test_a_part_and_the_whole_are_trained_in_turn() -> None:
    """A trainer that lost its parameters' place to another takes them back: none of its steps is lost."""
    net = SQUARES.network()
    whole, part = Trainer(net, LOSS, SGD(0.01)), Trainer(net[:2], LOSS, SGD(0.01))
    for trainer, x, y, moved in [
        (whole, X, Y, [True] * 4),
        (part, X, np.zeros((23, 5)), [True, True, False, False]),
        (whole, X, Y, [True] * 4),
    ]:
        before = [p.value.copy() for p in net.parameters()]
        trainer.step(x, y)
        after = [p.value for p in net.parameters()]
        assert [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)] == moved


def test_parameters_that_are_no_longer_those_of_the_trainer() -> None:
    net = SQUARES.network()
    trainer = Trainer(net, LOSS, SGD(0.1))
    dense = net[2]
    assert isinstance(dense, Dense)
    dense.weight = SQUARES.network().layers[2].named_parameters()["weight"]
    with pytest.raises(ConfigurationError, match="the model's parameters are not those it had: make a new Trainer"):
        trainer.fit(X, Y)


@pytest.mark.parametrize("clip_norm", [0.25, 1e9, None])
def test_clip_norm_bounds_the_length_of_all_gradients_together(clip_norm: float | None) -> None:
    norms: list[float] = []

    class Norm(Callback):
        def on_step_end(self, trainer: Trainer, loss: float) -> None:
            norms.append(float(np.linalg.norm(np.concatenate([p.grad.ravel() for p in trainer.model.parameters()]))))

    clipped, plain = SQUARES.network(), SQUARES.network()
    clipped.fit(X, Y, loss=LOSS, optimizer=SGD(0.0), batch_size=6, clip_norm=clip_norm, callbacks=[Norm()], rng=1)
    plain.fit(X, Y, loss=LOSS, optimizer=SGD(0.0), batch_size=6, callbacks=[Norm()], rng=1)
    got, unclipped = np.array(norms).reshape(2, 4)
    assert unclipped.min() > 1
    np.testing.assert_allclose(got, np.minimum(unclipped, clip_norm or np.inf), rtol=1e-13)
    for p, q in zip(clipped.parameters(), plain.parameters(), strict=True):  # shorter, in the same direction
        np.testing.assert_allclose(p.grad * unclipped[-1], q.grad * got[-1], rtol=1e-12)


def test_gradients_whose_square_overflows_are_clipped_not_refused() -> None:
    net = Sequential([Dense(1, use_bias=False)], input_shape=1, rng=0)
    Trainer(net, LOSS, SGD(1.0), clip_norm=1.0).step(np.full((1, 1), 1e12, "f4"), np.full((1, 1), -1e12, "f4"))
    assert net.parameters()[0].grad.item() == pytest.approx(1, rel=1e-6)


def test_a_batch_that_needs_work_and_one_that_is_ready_give_the_same() -> None:
    ready, listed = SQUARES.network(), SQUARES.network()
    one = Trainer(ready, LOSS, SGD(0.01)).step(X, Y)
    other = Trainer(listed, LOSS, SGD(0.01)).step(X.tolist(), np.asfortranarray(Y).tolist())
    assert one == other
    assert values(ready) == values(listed)


def target(shape: tuple[int, ...]) -> Array:
    return np.zeros(shape)


@pytest.mark.parametrize(
    ("x", "y", "weight", "message"),
    [
        (X, target((23, 3)), None, "expected a target of the prediction's shape (23, 4), got (23, 3)"),
        (X, target((22, 4)), None, "expected the same number of samples everywhere, got: x has 23, y has 22"),
        (X[:0], target((0, 4)), None, "x: expected at least one sample, got none (shape (0, 3))"),
        (X[:, :2], Y, None, "x: the network expects samples of shape (3,), so an array of shape (N, 3), got (23, 2)"),
        (X, Y, -np.ones(23), "sample_weight: expected weights of at least 0, got -1.0"),
        (
            X,
            Y,
            np.ones((23, 1)),
            "sample_weight: expected one weight a sample, or one for each target, shape (23, 4), got shape (23, 1)",
        ),
        (X, Y, np.ones(22), "got: x has 23, y has 23, sample_weight has 22"),
        (X, np.where(Y[2, 0] == Y, np.inf, Y), None, "the targets y"),
        (np.where(X[2, 0] == X, np.nan, X), Y, None, "the inputs x"),
    ],
)
def test_step_refuses_what_fit_refuses(x: Array, y: Array, weight: Array | None, message: str) -> None:
    net = SQUARES.network()
    before = values(net)
    with pytest.raises(DeepBPError) as caught:
        Trainer(net, LOSS, SGD(0.1)).step(x, y, weight)
    assert message in str(caught.value)
    assert values(net) == before


def test_step_refuses_labels_out_of_range() -> None:
    problem = PROBLEMS["labels on logits"]
    with pytest.raises(DataError, match=r"expected labels from 0 to 3, for the network has 4 outputs, got 7"):
        Trainer(problem.network(), problem.loss, SGD(0.1)).step(problem.x, problem.y + 4 * (problem.y == 3))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((Sequential([Dense(1)]), LOSS, SGD(0.1)), NotBuiltError, "not built yet: give input_shape=..., or call build"),
        ((Sequential([ReLU()], input_shape=3), LOSS, SGD(0.1)), ConfigurationError, "has no parameters: there is noth"),
        (([Dense(1)], LOSS, SGD(0.1)), ArgumentTypeError, "Trainer: model: expected Layer, got [Dense(1)]"),
        ((SQUARES.network(), "mse", SGD(0.1)), ArgumentTypeError, "Trainer: loss: expected Loss, got 'mse'"),
        (
            (SQUARES.network(), MeanSquaredError, SGD(0.1)),
            ArgumentTypeError,
            "an instance rather than the class: MeanSquaredError()",
        ),
        ((SQUARES.network(), LOSS, "adam"), ArgumentTypeError, "Trainer: optimizer: expected Optimizer, got 'adam'"),
        ((SQUARES.network(), LOSS, Adam), ArgumentTypeError, "an instance rather than the class: Adam()"),
    ],
)
def test_refused_constructions(arguments: tuple[Any, ...], error: type[DeepBPError], message: str) -> None:
    with pytest.raises(error) as caught:
        Trainer(*arguments)
    assert message in str(caught.value)


@pytest.mark.parametrize("clip_norm", [0, -1.0, float("nan"), "1", True])
def test_clip_norm_is_above_0(clip_norm: Any) -> None:
    with pytest.raises((ConfigurationError, ArgumentTypeError), match="Trainer: clip_norm: expected a number above 0"):
        SQUARES.network().fit(X, Y, loss=LOSS, optimizer=SGD(0.1), clip_norm=clip_norm)
