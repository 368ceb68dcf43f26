"""All built-in layers, losses, optimizers and initializers pass their checks, and none is missing."""

import inspect
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from attrs import frozen
from every_builtin import (
    BUILTIN_INITIALIZERS,
    BUILTIN_LAYERS,
    BUILTIN_LOSSES,
    BUILTIN_OPTIMIZERS,
    CATEGORY_LAYERS,
    layers_checks,
    others_checks,
)
from right_layers import (
    Centre,
    Dropout,
    GainOfTanh,
    Largest,
    LeakyReLU,
    Log,
    Lookup,
    Residual,
    Scale,
    Square,
    WithPenalty,
    positive,
    whole,
)

import deepbp
from deepbp import initializers, kernels, layers, losses, optimizers
from deepbp.initializers import Initializer
from deepbp.layers import Layer
from deepbp.losses import Loss
from deepbp.losses import MeanSquaredError as MeanOfSquares
from deepbp.optimizers import SGD, Optimizer, State
from deepbp.parameters import ParameterVector
from deepbp.testing import Check, check_layer, check_loss, check_optimizer
from deepbp.typing import Array


def public(module: ModuleType, base: type) -> set[type]:
    """The classes of this kind that can be used as they are."""
    names = getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")])
    found = {getattr(module, name) for name in names}
    return {
        kind for kind in found if isinstance(kind, type) and issubclass(kind, base) and not inspect.isabstract(kind)
    }


LISTED: list[Any] = [layer for layer, *_ in (*BUILTIN_LAYERS, *CATEGORY_LAYERS)]
# they need the layer whose weights they share, or a memory, and so are checked inside of another layer
LISTED += [
    one
    for layer in LISTED
    for one in layer.named_layers().values()
    if isinstance(one, layers.TiedDense | layers.CrossAttention)
]


@pytest.mark.parametrize(
    ("module", "base", "listed"),
    [
        (layers, Layer, LISTED),
        (deepbp, Layer, LISTED),
        (losses, Loss, [loss for loss, _, _ in BUILTIN_LOSSES]),
        (optimizers, Optimizer, BUILTIN_OPTIMIZERS),
        (initializers, Initializer, BUILTIN_INITIALIZERS),
    ],
)
def test_the_table_lists_every_public_class(module: ModuleType, base: type, listed: list[object]) -> None:
    expected = public(module, base)
    assert expected, "nothing found: the test looks in the wrong place"
    assert expected <= {type(one) for one in listed}


@pytest.mark.parametrize(("layer", "shape"), BUILTIN_LAYERS, ids=str)
def test_layers_with_fused_kernels(layer: Layer[Any], shape: tuple[int, ...]) -> None:
    before = kernels.current()
    kernels.use("numba")
    try:
        check_layer(layer, shape)
    finally:
        kernels.use("numba" if before == "numba" else "numpy")


CHECKS: dict[str, list[Check]] = {}
for one in (*layers_checks(seed=0), *others_checks(seed=0)):
    CHECKS.setdefault(one.subject, []).append(one)


@pytest.mark.parametrize("subject", CHECKS)
def test_builtin_passes_its_checks(subject: str) -> None:
    for check in CHECKS[subject]:
        check.run()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 11))
def test_builtins_pass_with_other_seeds(seed: int) -> None:
    for check in (*layers_checks(seed), *others_checks(seed)):
        check.run()


@pytest.mark.parametrize(
    "layer",
    [Scale(), Square(), GainOfTanh(), LeakyReLU(), Dropout(), Centre(), Largest(), Residual(), WithPenalty()],
    ids=repr,
)
def test_correct_custom_layers_pass(layer: Layer[object]) -> None:
    for seed in range(20):
        check_layer(layer, (4,), rng=seed)


def test_layers_with_custom_inputs_pass() -> None:
    for seed in range(20):
        check_layer(Log(), (3,), inputs=positive, rng=np.random.default_rng(seed))
        check_layer(Lookup(6), (3,), inputs=whole, rng=np.random.default_rng(seed))


class PlainLoss(MeanOfSquares):
    """Inherits what it needs; a class of its own, without attrs, is allowed where there are no arguments."""


class NoAttrs(Loss[np.ndarray[Any, Any]]):
    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Array]:
        return MeanOfSquares().forward(prediction, target, sample_weight)

    def backward(self, saved: Array) -> Array:
        return MeanOfSquares().backward(saved)


@frozen
class SignDescent(Optimizer):
    """Its rate has another name."""

    size: float = 0.01

    def step(self, parameters: ParameterVector, state: State) -> None:
        parameters.values -= self.size * np.sign(parameters.grads)
        state["step"] += 1

    def rate(self, step: int) -> float:
        return self.size


def test_correct_custom_losses_and_optimizers_pass() -> None:
    check_loss(PlainLoss())
    check_loss(NoAttrs())
    check_optimizer(SignDescent())
    check_optimizer(SGD(lambda step: 0.1 / (1 + step)))
    check_layer(layers.Activation(lambda z: z * z, lambda z: 2 * z), 3)  # a lambda cannot be pickled
    check_optimizer(SGD(0.0))
