"""What users write: no type checker may complain about a line of it."""

from pathlib import Path
from typing import Any, assert_type

import numpy as np
from attrs import define, field, frozen

import deepbp
from deepbp import History, Parameter, Sequential, Trainer
from deepbp.callbacks import Callback, EarlyStopping, ModelCheckpoint
from deepbp.initializers import Initializer, Ones
from deepbp.layers import (
    L2,
    Bilinear,
    Builder,
    Dense,
    Layer,
    Parallel,
    Penalized,
    ReLU,
    Repeat,
    Residual,
    Sigmoid,
    Split,
    Tanh,
)
from deepbp.losses import Loss, MeanSquaredError, Quantile, SigmoidBinaryCrossEntropy, SoftmaxFocal, SumOfLosses
from deepbp.metrics import Accuracy, Metric
from deepbp.optimizers import SGD, Adam, Grouped, Optimizer
from deepbp.optimizers.schedules import Piecewise, Warmup
from deepbp.typing import Array, Shape

x, y = np.zeros((4, 3)), [[0], [1], [1], [0]]

# Networks, from layers and lists of layers, and what they hold.
hidden = [Dense(8), ReLU()]
net = Sequential([*hidden, Dense(4, use_bias=False), Sigmoid()], input_shape=3, rng=0, dtype="float64")
Sequential([Dense(4)], input_shape=(28, 28), rng=np.random.default_rng(0), dtype=np.float32)
Sequential((Residual([Dense(3), Tanh()]), Residual(Dense(3), shortcut=Dense(3)), Repeat([Dense(3), Tanh()], 2)))
Sequential([Parallel([Dense(3), None, [Dense(3), Tanh()]], merge="add"), Split([Dense(2), None], sizes=[1, 2])])
Sequential([Penalized([Dense(3)], weights=L2(1e-4)), Bilinear(2, sizes=(1, 2)), net[:2], net])
values: Array = net.layers[0].weight.value
net.layers[0].weight.value = values * 2
net[1].freeze()
net[0].bias.grad.sum()
assert_type(net.parameter("0.weight"), Parameter)
assert_type(net.predict(x), Array)
assert_type(net(x), Array)
net([[1, 2, 3]])
for layer in net.layers:
    layer.forward(x)
    if isinstance(layer, Dense):
        assert_type(layer.weight, Parameter)
        assert_type(layer.units, int)
assert_type(Dense(4)(x), Array)
assert_type(Residual([Dense(4)]).body.named_parameters(), dict[str, Parameter])
Residual([Dense(4)]).body.layers[0].weight.freeze()

# Training.
history = net.fit(x, y, loss=MeanSquaredError(), optimizer=SGD(0.1), metrics=[Accuracy()], callbacks=[EarlyStopping()])
assert_type(history, History)
trainer = Trainer(net, MeanSquaredError(), Adam(Warmup(10, 0.1)), callbacks=(ModelCheckpoint(Path("run.npz")),))
assert_type(trainer.step(x, y), float)
SGD(lambda step: 0.1 / (1 + step))
SGD(Piecewise([10, 20], [0.1, Warmup(3, 0.1), 0.01]))
Grouped({"*.bias": SGD(0.1), "*": Adam()})
SumOfLosses([MeanSquaredError(), Quantile([0.1, 0.9])], weights=[1, 0.5])
SigmoidBinaryCrossEntropy(pos_weight=np.ones(3))
SoftmaxFocal(alpha=(0.2, 0.8))
deepbp.load(net.save("net.npz")).predict(x)


# Pieces of one's own, annotated or not, and with arguments of any name.
@define(eq=False)
class Slope(Layer[tuple[Array, Array]]):
    slope: Parameter = field(init=False)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.slope = builder.parameter(input_shape, Ones())
        return input_shape

    def forward(self, z: Array) -> tuple[Array, tuple[Array, Array]]:
        return z * self.slope.value, (z, z)

    def backward(self, zs: tuple[Array, Array], delta: Array) -> Array:
        self.slope.accumulate((delta * zs[0]).sum(axis=0))
        return delta * self.slope.value

    def predict(self, z: Array) -> Array:
        return self.forward(z=z)[0]


@define(eq=False)
class Plain(Layer):
    def forward(self, z: Array) -> tuple[Array, None]:
        return z, None

    def backward(self, saved: None, delta: Array) -> Array:
        return delta


@frozen
class Half(Loss):
    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Array]:
        return float(((prediction - target) ** 2).sum() / 2), prediction - target

    def backward(self, saved: Array) -> Array:
        return saved


@frozen
class Sign(Optimizer):
    learning_rate: float = 0.01

    def step(self, parameters: deepbp.ParameterVector, state: dict[str, Any]) -> None:
        parameters.values -= self.rate(state["step"]) * np.sign(parameters.grads)
        state["step"] += 1


@frozen
class LargestError(Metric):
    name = "largest_error"
    higher_is_better = False

    def __call__(self, prediction: Array, target: Array) -> float:
        return float(np.abs(prediction - target).max())


@frozen
class Named(Metric):
    power: int

    @property
    def name(self) -> str:
        return f"error_{self.power}"

    def __call__(self, prediction: Array, target: Array) -> float:
        return float((np.abs(prediction - target) ** self.power).mean())


class Twos(Initializer):
    def __call__(self, shape: Shape, rng: np.random.Generator, dtype: np.dtype[Any]) -> Array:
        return np.full(shape, 2, dtype)


class Stop(Callback):
    def on_step_end(self, trainer: Trainer, loss: float) -> None:
        trainer.stop()


own = Sequential([Slope(), Plain(), Dense(1, weight_init=Twos())], input_shape=3)
assert_type(Slope()(x), Array)
own.fit(x, y, loss=Half(), optimizer=Sign(), metrics=[LargestError(), Named(2), lambda a, b: 0.0], callbacks=[Stop()])
