"""A monitor measures what flows, layer by layer, and does not disturb the training that it watches."""

from typing import Any

import numpy as np
import pytest
from attrs import define, field
from numpy.testing import assert_allclose, assert_array_equal
from problems import CLASSES, PROBLEMS, SQUARES, Problem, values

from deepbp import Sequential, Trainer
from deepbp.errors import ArgumentTypeError, ConfigurationError, ShapeError
from deepbp.initializers import Constant
from deepbp.layers import Builder, Dense, Flatten, Formula, Layer, ReLU, Sigmoid, Tanh
from deepbp.losses import SumSquaredError
from deepbp.optimizers import SGD, Adam
from deepbp.parameters import Buffer, Parameter
from deepbp.training import SignalMonitor, Signals
from deepbp.training.signals import FLAT
from deepbp.typing import Array, Shape

X, Y = SQUARES.x, SQUARES.y


@define(eq=False)
class Noise(Layer[None]):
    """Adds noise from the network's generator, and counts in a buffer how often it was asked."""

    generator: Any = field(init=False)
    calls: Buffer = field(init=False)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.generator, self.calls = builder.rng, builder.buffer((1,))
        return input_shape

    def forward(self, x: Array) -> tuple[Array, None]:
        self.calls.value += 1
        return x + 0.1 * self.generator.normal(size=x.shape).astype(x.dtype), None

    def backward(self, saved: None, delta: Array) -> Array:
        return delta


@define(eq=False)
class LeakyReLU(Layer[Array]):
    """y = x where x > 0, else slope · x, with a slope that is learned; its formula states the derivative."""

    formula = Formula("maximum(x, 0) + slope * minimum(x, 0)", derivative="(x > 0) + slope * (x <= 0)")

    first_slope: float = 0.1
    slope: Parameter = field(init=False)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.slope = builder.parameter(input_shape, Constant(self.first_slope))
        return input_shape

    def forward(self, x: Array) -> tuple[Array, Array]:
        return np.maximum(x, 0) + self.slope.value * np.minimum(x, 0), x

    def backward(self, x: Array, delta: Array) -> Array:
        self.slope.accumulate((delta * np.minimum(x, 0)).sum(axis=0))
        return delta * np.where(x > 0, 1, self.slope.value)


def root_mean_square(array: Array) -> float:
    return float(np.sqrt(np.mean(array**2)))


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("every", [None, 1, 3])
def test_training_is_the_same_to_the_bit_with_and_without(name: str, every: int | None) -> None:
    problem = PROBLEMS[name]

    def trained(*callbacks: SignalMonitor) -> tuple[Sequential, list[float], Array]:
        net = Sequential(
            [Noise(), problem.network(rng=1), *([Noise()] if problem.ends_with is None else [])],
            input_shape=3,
            rng=0,
            dtype="float64",
        )
        trainer = Trainer(net, problem.loss, Adam(0.01), callbacks=callbacks)
        history = trainer.fit(problem.x, problem.y, epochs=3, batch_size=5)
        return net, history["loss"], trainer.parameters.grads

    monitor = SignalMonitor(problem.x[:7], problem.y[:7], every=every)
    net, losses, grads = trained(monitor)
    without, losses_without, grads_without = trained()
    assert len(monitor.records) > 3
    assert values(net) == values(without)
    assert losses == losses_without
    assert_array_equal(grads, grads_without)
    first, first_without = net.layers[0], without.layers[0]
    assert isinstance(first, Noise)
    assert isinstance(first_without, Noise)
    assert first.calls.value[0] == first_without.calls.value[0] == 15  # 3 epochs of 5 batches
    assert net.generator.random() == without.generator.random()


def test_sizes_are_those_of_the_formulas() -> None:
    net = Sequential([Dense(4), Sigmoid(), Dense(2)], input_shape=3, rng=0, dtype="float64")
    y = Y[:, :2]
    monitor = SignalMonitor(X, y)
    signals = monitor.look(Trainer(net, SumSquaredError(), SGD(0.1)))
    hidden, output = (layer for layer in net.layers if isinstance(layer, Dense))
    assert hidden.bias is not None
    assert output.bias is not None

    z1 = X @ hidden.weight.value + hidden.bias.value
    a1 = 1 / (1 + np.exp(-z1))
    z2 = a1 @ output.weight.value + output.bias.value
    delta2 = 2 * (z2 - y)
    moved = delta2 @ output.weight.value.T
    delta1 = moved * a1 * (1 - a1)
    gradients1 = np.concatenate([(X.T @ delta1).ravel(), delta1.sum(axis=0)])
    gradients2 = np.concatenate([(a1.T @ delta2).ravel(), delta2.sum(axis=0)])

    assert monitor.layers == ("0 Dense", "1 Sigmoid", "2 Dense")
    assert signals.loss == pytest.approx(np.sum((z2 - y) ** 2))
    assert_allclose(signals.activations, [root_mean_square(a) for a in (z1, a1, z2)])
    assert_allclose(signals.error_signals, [root_mean_square(d) for d in (delta1, moved, delta2)])
    assert_allclose(signals.gradients, [root_mean_square(gradients1), np.nan, root_mean_square(gradients2)])


def test_very_small_numbers_in_float32_are_not_lost() -> None:
    net = Sequential([Dense(2), Dense(1)], input_shape=2, rng=0)
    output: Any = net[1]
    output.weight.value = [[1e-30], [1e-30]]
    x = np.ones((3, 2))
    signals = SignalMonitor(x, np.ones((3, 1))).look(Trainer(net, SumSquaredError(), SGD(0.1)))
    assert signals.error_signals[0] == pytest.approx(2e-30, rel=1e-5, abs=0)


def test_chains_are_walked_into_and_a_shared_layer_has_its_gradient_once() -> None:
    shared = Dense(3)
    net = Sequential([Flatten(), Sequential([shared, Tanh()]), shared], input_shape=3, rng=0, dtype="float64")
    monitor = SignalMonitor(X, X)
    trainer = Trainer(net, SumSquaredError(), SGD(0.1))
    signals = monitor.look(trainer)
    assert monitor.layers == ("0 Flatten", "1.0 Dense", "1.1 Tanh", "2 Dense")
    assert_array_equal(np.isnan(signals.gradients), [True, False, True, True])
    trainer.parameters.clear_grads()
    output, saved = net.forward(X)
    net.backward_parameters(saved, 2 * (output - X))
    assert signals.gradients[1] == pytest.approx(root_mean_square(trainer.parameters.grads))  # the sum of both uses


def test_a_layer_alone_is_a_network_of_one_layer() -> None:
    dense = Dense(4)
    Builder(0, "float64").build(dense, (3,))
    monitor = SignalMonitor(X, Y)
    Trainer(dense, SQUARES.loss, SGD(0.01), callbacks=[monitor]).fit(X, Y)
    assert monitor.layers == ("Dense",)
    assert monitor.records[0].activations.shape == (1,)


def with_units(activation: Layer[Any], weight: Any, bias: Any) -> Signals:
    """The signals of a network whose activation gets z = x W + b of the inputs 1 and −1."""
    net = Sequential([Dense(len(bias)), activation, Dense(1)], input_shape=1, rng=0, dtype="float64")
    first: Any = net[0]
    first.weight.value, first.bias.value = [weight], bias
    return SignalMonitor([[1.0], [-1.0]], [[1.0], [0.0]]).look(Trainer(net, SumSquaredError(), SGD(0.1)))


def test_a_unit_is_dead_when_it_is_off_for_every_sample() -> None:
    signals = with_units(ReLU(), [1.0, 0.5, 0.5, 0.0], [0.0, -1.0, -0.4, -1.0])  # off: the second and the fourth
    assert_array_equal(signals.dead, [np.nan, 0.5, np.nan])
    assert np.isnan(signals.saturated[1])  # half of a ReLU is flat in health, too


@pytest.mark.parametrize(("activation", "edge"), [(Sigmoid, 4.357), (Tanh, 2.178)])  # where the slope is 5% of σ′(0)
def test_an_activation_is_saturated_when_it_is_flat(activation: type[Layer[Any]], edge: float) -> None:
    signals = with_units(activation(), [edge - 0.01, edge + 0.01, 0.0, -1.0], [0.0, 0.0, 2 * edge, edge])
    assert FLAT == 0.05
    assert_array_equal(signals.saturated, [np.nan, 5 / 8, np.nan])  # none, both, both, one of the samples 1 and −1
    assert signals.dead[1] == 0


def test_a_layer_of_ones_own_that_states_its_derivative() -> None:
    leaky, flat = (with_units(LeakyReLU(slope), [1.0, 0.5], [0.0, -1.0]) for slope in (0.1, 0.0))
    assert_array_equal(leaky.dead, [np.nan, 0.0, np.nan])
    assert_array_equal(flat.dead, [np.nan, 0.5, np.nan])  # then it is a ReLU
    assert np.isnan(leaky.saturated[1])


def test_looking_for_slopes_adds_nothing_to_gradients() -> None:
    net = Sequential([Dense(4), LeakyReLU(), Dense(1)], input_shape=3, rng=0, dtype="float64")
    trainer = Trainer(net, SumSquaredError(), SGD(0.1))
    signals = SignalMonitor(X, Y[:, :1]).look(trainer)
    output, saved = net.forward(X)
    net.backward_parameters(saved, 2 * (output - Y[:, :1]))
    own = net.layers[1]
    assert isinstance(own, LeakyReLU)
    assert signals.gradients[1] == pytest.approx(root_mean_square(own.slope.grad))


def test_of_a_layer_without_a_formula_no_slope_is_known() -> None:
    signals = with_units(Noise(), [1.0], [0.0])
    assert np.isnan(signals.dead).all()
    assert np.isnan(signals.saturated).all()


@pytest.mark.parametrize(
    ("every", "steps"), [(None, [0, 5, 10, 15]), (1, list(range(16))), (4, [0, 4, 8, 12, 15]), (100, [0, 15])]
)
def test_when_it_looks(every: int | None, steps: list[int]) -> None:
    monitor = SignalMonitor(X, Y, every=every)
    net = SQUARES.network()
    net.fit(X, Y, loss=SQUARES.loss, optimizer=SGD(0.001), epochs=3, batch_size=5, callbacks=[monitor])
    assert [record.step for record in monitor.records] == steps
    now = net.evaluate(X, Y, loss=SQUARES.loss)["loss"]
    assert monitor.records[-1].loss == pytest.approx(now)  # the last look is at the network as it was left


def test_training_again_goes_on_counting() -> None:
    monitor = SignalMonitor(X, Y)
    net = SQUARES.network()
    for _ in range(2):  # a new trainer each time
        net.fit(X, Y, loss=SQUARES.loss, optimizer=SGD(0.001), epochs=1, batch_size=None, callbacks=[monitor])
    trainer = Trainer(net, SQUARES.loss, SGD(0.001), callbacks=[monitor])
    trainer.fit(X, Y, epochs=1, batch_size=None)
    trainer.fit(X, Y, epochs=1, batch_size=None)
    trainer.step(X, Y)
    monitor.look(trainer)
    monitor.look(trainer)  # nothing has happened since
    assert [record.step for record in monitor.records] == [0, 1, 2, 3, 4, 5]


def test_one_monitor_watches_one_network() -> None:
    monitor = SignalMonitor(X, Y)
    monitor.look(Trainer(SQUARES.network(), SQUARES.loss, SGD(0.1)))
    with pytest.raises(ConfigurationError, match="watches another network already: make one for each network"):
        monitor.look(Trainer(SQUARES.network(), SQUARES.loss, SGD(0.1)))


@pytest.mark.parametrize(
    ("every", "error"), [(0, ConfigurationError), (2.5, ArgumentTypeError), ("3", ArgumentTypeError)]
)
def test_every_is_a_number_of_steps(every: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="SignalMonitor: every: expected a whole number of at least 1, got "):
        SignalMonitor(X, Y, every=every)


def test_samples_that_do_not_fit_are_refused_before_training() -> None:
    net = SQUARES.network()
    before = values(net)
    with pytest.raises(ShapeError, match=r"^SignalMonitor: x: .*\(3,\)"):
        net.fit(X, Y, loss=SQUARES.loss, optimizer=SGD(0.1), callbacks=[SignalMonitor(X[:, :2], Y)])
    assert values(net) == before


@pytest.mark.parametrize("problem", [SQUARES, CLASSES], ids=["values", "labels"])
def test_it_is_printed_without_its_samples(problem: Problem) -> None:
    assert repr(SignalMonitor(problem.x, problem.y, every=10)) == "SignalMonitor(every=10)"
