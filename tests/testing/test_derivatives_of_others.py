"""The backward passes of all layers against the derivatives that JAX and PyTorch find for the stated formulas.

Both packages are optional: neither is among those for development.
"""

import warnings
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from every_builtin import BUILTIN_LAYERS, CATEGORY_LAYERS

from deepbp import Sequential
from deepbp.errors import ConfigurationError
from deepbp.export import jax_function, torch_module
from deepbp.export.inference import parts_of
from deepbp.export.jax_export import JaxInference, JaxLibrary
from deepbp.export.torch_export import TorchInference
from deepbp.formulas.language import Formula
from deepbp.layers import Dropout, GaussianNoise, Layer, StopGradient
from deepbp.typing import Array, Shape

TOLERANCE = 1e-12
XLA_ABORTS = "Conv2D(2, (2, 3), stride=(2, 3)"
"""XLA 0.10 ends the process, "Window dimensions do not match", for the gradient of this convolution of one channel."""


def is_differentiable(layer: Layer[Any]) -> bool:
    """Whether the derivative is that of a formula: without chance, penalties and surrogate gradients."""
    inside = [layer, *layer.named_layers().values()]
    if layer.has_penalty():
        return False
    return not any(isinstance(one, Dropout | GaussianNoise | StopGradient) for one in inside)


PAIRS = deepcopy([*BUILTIN_LAYERS, *((layer, shape) for layer, shape, _ in CATEGORY_LAYERS)])  # which nobody has built
PAIRS = [pair for pair in PAIRS if is_differentiable(pair[0]) and not getattr(pair[0], "dtype", None)]


class TrainingInference(JaxInference):
    """The training pass, where a formula states another one for inference."""

    def _text(self, layer: Layer[Any], stated: Formula) -> str:
        return stated.forward


def case(layer: Layer[Any], shape: Shape) -> tuple[Sequential, Array, Array]:
    """A network of the layer with random parameters, an input, and an upstream gradient."""
    net = Sequential([deepcopy(layer)], input_shape=shape, rng=0, dtype="float64")
    rng = np.random.default_rng(1)
    for parameter in net.parameters():
        parameter.value = rng.normal(size=parameter.value.shape)
    categories = any(hasattr(one, "categories") for one in net.named_layers().values())
    x = (rng.integers(0, 5, (4, *shape)) if categories else rng.normal(size=(4, *shape))).astype(float)
    return net, x, rng.normal(size=net.predict(x).shape)


def ours(net: Sequential, x: Array, delta: Array) -> dict[str, Array]:
    y, saved = net.forward(x)
    grad_input = net.backward(saved, delta)
    return {"y": y, "x": grad_input, **{name: one.grad for name, one in net.named_parameters().items()}}


def compare(found: dict[str, Any], expected: dict[str, Array]) -> None:
    for name, own in expected.items():
        theirs = np.asarray(found[name])
        assert theirs.shape == own.shape
        assert np.abs(theirs - own).max(initial=0) <= TOLERANCE * (1 + np.abs(own).max(initial=0)), name


@pytest.mark.long  # compiles for each layer
@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair[0]}-{pair[1]}")
def test_jax_finds_the_same_gradients(pair: tuple[Layer[Any], Shape]) -> None:
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    if str(pair[0]).startswith(XLA_ABORTS):
        pytest.skip("XLA aborts")
    net, x, delta = case(*pair)

    def run(parameters: Any, x: Any) -> Any:
        return TrainingInference(JaxLibrary(np.dtype("float64")), parameters).run(net, x)

    values = {name: part.value for name, part in parts_of(net).items()}
    y, pull = jax.vjp(run, values, x)
    of_parameters, of_x = pull(delta)
    compare({"y": y, "x": of_x, **of_parameters}, ours(net, x, delta))


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair[0]}-{pair[1]}")
def test_pytorch_finds_the_same_gradients(pair: tuple[Layer[Any], Shape]) -> None:
    torch = pytest.importorskip("torch")
    net, x, delta = case(*pair)
    module = torch_module(net).train()
    given = torch.tensor(x, requires_grad=True)
    y = module(given)
    y.backward(torch.tensor(delta))
    leaves = {"x": given, **dict(module.named_parameters())}
    found = {name: torch.zeros_like(one) if one.grad is None else one.grad for name, one in leaves.items()}
    compare({"y": y.detach(), **found}, ours(net, x, delta))


def test_jax_compiles_and_batches_the_function() -> None:
    jax = pytest.importorskip("jax")
    net, x, _ = case(*PAIRS[0])
    jax.config.update("jax_enable_x64", False)
    with pytest.raises(ConfigurationError, match=r"for float64, JAX needs jax\.config\.update"):
        jax_function(net)
    jax.config.update("jax_enable_x64", True)
    function, parameters = jax_function(net)
    np.testing.assert_allclose(jax.jit(function)(parameters, x), net.predict(x), rtol=1e-12)
    each = jax.vmap(lambda one: function(parameters, one[None])[0])(x)
    np.testing.assert_allclose(each, net.predict(x), rtol=1e-12)
    net.parameters()[0].value = net.parameters()[0].value + 1  # the export keeps its own
    assert not np.allclose(function(parameters, x), net.predict(x))


def test_a_module_of_pytorch_is_trained_and_its_weights_come_back() -> None:
    torch = pytest.importorskip("torch")
    from deepbp.layers import BatchNorm, Dense, ReLU

    net = Sequential([Dense(8), BatchNorm(), ReLU(), Dropout(0.5), Dense(1)], input_shape=3, rng=0)
    net.layers[0].freeze()
    module = torch_module(net)
    assert list(module.state_dict()) == list(parts_of(net))
    assert [name for name, one in module.named_parameters() if not one.requires_grad] == ["0.weight", "0.bias"]
    x = torch.randn(64, 3)
    optimizer = torch.optim.Adam([one for one in module.parameters() if one.requires_grad], 0.05)
    module.train()
    assert not torch.equal(module(x), module(x))  # dropout
    for _ in range(20):
        optimizer.zero_grad()
        ((module(x) - x.sum(1, keepdim=True)) ** 2).mean().backward()
        optimizer.step()
    module.eval()
    net.load_weights(module.state_dict())
    np.testing.assert_allclose(net.predict(x.numpy()), module(x).detach().numpy(), rtol=1e-4, atol=1e-5)
    assert not np.allclose(net.layers[1].running_mean.value, 0)


def test_running_averages_move_as_here() -> None:
    torch = pytest.importorskip("torch")
    from deepbp.layers import BatchNorm

    net = Sequential([BatchNorm(momentum=0.7)], input_shape=3, rng=0, dtype="float64")
    module, x = torch_module(net).train(), np.random.default_rng(0).normal(size=(5, 3))
    module(torch.tensor(x))
    net.forward(x)
    for name, part in net.named_buffers().items():
        np.testing.assert_allclose(module.state_dict()[name].numpy(), part.value, rtol=1e-12)


def test_a_module_can_be_pickled_and_copied() -> None:
    torch = pytest.importorskip("torch")
    import pickle

    net, x, _ = case(*PAIRS[0])
    module = torch_module(net)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = pickle.loads(pickle.dumps(module))
    for one in (again, deepcopy(module)):
        assert torch.equal(one(torch.tensor(x)), module(torch.tensor(x)))
    assert TorchInference.operators
