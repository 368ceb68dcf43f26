"""The kernels in NumPy: always there, and what the fused ones must agree with."""

from deepbp.kernels.plain.activations import (
    add_bias,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    softmax,
    softmax_backward,
    tanh,
    tanh_backward,
)
from deepbp.kernels.plain.erf import erf, erfc, gaussian, gelu
from deepbp.kernels.plain.losses import softmax_cross_entropy, softmax_cross_entropy_backward, squared_error
from deepbp.kernels.plain.updates import adam, clip_norm, clip_values, sgd, sgd_momentum

__all__ = [
    "adam",
    "add_bias",
    "clip_norm",
    "clip_values",
    "erf",
    "erfc",
    "gaussian",
    "gelu",
    "relu",
    "relu_backward",
    "sgd",
    "sgd_momentum",
    "sigmoid",
    "sigmoid_backward",
    "softmax",
    "softmax_backward",
    "softmax_cross_entropy",
    "softmax_cross_entropy_backward",
    "squared_error",
    "tanh",
    "tanh_backward",
]
