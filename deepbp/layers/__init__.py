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
from deepbp.layers.builder import Builder
from deepbp.layers.chain import Chain
from deepbp.layers.composites import Parallel, Penalized, Repeat, Residual, Split
from deepbp.layers.configuration import configuration, same_configuration
from deepbp.layers.dense import Dense
from deepbp.layers.flatten import Flatten
from deepbp.layers.formula import Formula, LossFormula, PenaltyFormula, UpdateFormula
from deepbp.layers.layer import Layer
from deepbp.layers.penalties import L1, L1L2, L2, Penalty
from deepbp.layers.reshape import Reshape

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "L1",
    "L1L2",
    "L2",
    "SELU",
    "Activation",
    "Builder",
    "Chain",
    "Dense",
    "Flatten",
    "Formula",
    "Gaussian",
    "HardSigmoid",
    "HardSwish",
    "Layer",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "LossFormula",
    "Mish",
    "PReLU",
    "Parallel",
    "Penalized",
    "Penalty",
    "PenaltyFormula",
    "ReLU",
    "ReLU6",
    "Repeat",
    "Reshape",
    "Residual",
    "SiLU",
    "Sigmoid",
    "Sine",
    "Softmax",
    "Softplus",
    "Softsign",
    "Split",
    "Swish",
    "Tanh",
    "UpdateFormula",
    "configuration",
    "same_configuration",
]
