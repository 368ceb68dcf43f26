"""The layers: each a formula and its derivation, forwards and backwards on one screen."""

from deepbp.layers.activations import (
    CELU,
    ELU,
    GELU,
    SELU,
    Activation,
    Gaussian,
    HardSigmoid,
    HardSwish,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    Mish,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Sine,
    Softmax,
    Softplus,
    Softsign,
    Swish,
    Tanh,
)
from deepbp.layers.bilinear import Bilinear
from deepbp.layers.builder import Builder
from deepbp.layers.chain import Chain
from deepbp.layers.composites import Parallel, Penalized, Repeat, Residual, Split
from deepbp.layers.configuration import configuration, same_configuration
from deepbp.layers.dense import Dense
from deepbp.layers.embedding import Embedding
from deepbp.layers.flatten import Flatten
from deepbp.layers.formula import Formula, LossFormula, PenaltyFormula, UpdateFormula
from deepbp.layers.layer import Layer
from deepbp.layers.maxout import Maxout
from deepbp.layers.noise import Dropout, GaussianNoise
from deepbp.layers.normalization import BatchNorm, GroupNorm, LayerNorm, RMSNorm
from deepbp.layers.penalties import L1, L1L2, L2, Penalty
from deepbp.layers.reshape import Reshape
from deepbp.layers.scale import Scale
from deepbp.layers.shift import Shift
from deepbp.layers.stop_gradient import StopGradient
from deepbp.layers.tied_dense import TiedDense

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "L1",
    "L1L2",
    "L2",
    "SELU",
    "Activation",
    "BatchNorm",
    "Bilinear",
    "Builder",
    "Chain",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "Formula",
    "Gaussian",
    "GaussianNoise",
    "GroupNorm",
    "HardSigmoid",
    "HardSwish",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "LossFormula",
    "Maxout",
    "Mish",
    "PReLU",
    "Parallel",
    "Penalized",
    "Penalty",
    "PenaltyFormula",
    "RMSNorm",
    "ReLU",
    "ReLU6",
    "Repeat",
    "Reshape",
    "Residual",
    "Scale",
    "Shift",
    "SiLU",
    "Sigmoid",
    "Sine",
    "Softmax",
    "Softplus",
    "Softsign",
    "Split",
    "StopGradient",
    "Swish",
    "Tanh",
    "TiedDense",
    "UpdateFormula",
    "configuration",
    "same_configuration",
]
