"""Activation functions, one layer each; most work elementwise."""

from typing import TYPE_CHECKING

from deepbp._config import publish

if TYPE_CHECKING:
    from deepbp.layers.activations.elementwise import Activation
    from deepbp.layers.activations.gated import GELU, HardSwish, Mish, SiLU, Swish
    from deepbp.layers.activations.rectifiers import CELU, ELU, SELU, LeakyReLU, PReLU, ReLU, ReLU6
    from deepbp.layers.activations.softmax import LogSoftmax, Softmax
    from deepbp.layers.activations.squashing import (
        Gaussian,
        HardSigmoid,
        LogSigmoid,
        Sigmoid,
        Sine,
        Softplus,
        Softsign,
        Tanh,
    )

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "SELU",
    "Activation",
    "Gaussian",
    "HardSigmoid",
    "HardSwish",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Sine",
    "Softmax",
    "Softplus",
    "Softsign",
    "Swish",
    "Tanh",
]

publish(
    __name__,
    homes={
        "layers.activations.elementwise": "Activation",
        "layers.activations.gated": "GELU HardSwish Mish SiLU Swish",
        "layers.activations.rectifiers": "CELU ELU SELU LeakyReLU PReLU ReLU ReLU6",
        "layers.activations.softmax": "LogSoftmax Softmax",
        "layers.activations.squashing": "Gaussian HardSigmoid LogSigmoid Sigmoid Sine Softplus Softsign Tanh",
    },
    public="deepbp.layers",
)
