"""The kernels compiled with Numba: loops over numbers that are read once and written once."""

from deepbp.kernels.fused.activations import (
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
from deepbp.kernels.fused.erf import erf, erfc, gaussian, gelu
from deepbp.kernels.fused.losses import softmax_cross_entropy, softmax_cross_entropy_backward, squared_error
from deepbp.kernels.fused.updates import adam, clip_norm, clip_values, sgd, sgd_momentum

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
