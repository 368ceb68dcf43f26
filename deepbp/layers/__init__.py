"""The layers: each a formula and its derivation, forwards and backwards on one screen."""

from deepbp.layers.activations import ReLU, Sigmoid, Softmax, Tanh
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
    "L1",
    "L1L2",
    "L2",
    "Builder",
    "Chain",
    "Dense",
    "Flatten",
    "Formula",
    "Layer",
    "LossFormula",
    "Parallel",
    "Penalized",
    "Penalty",
    "PenaltyFormula",
    "ReLU",
    "Repeat",
    "Reshape",
    "Residual",
    "Sigmoid",
    "Softmax",
    "Split",
    "Tanh",
    "UpdateFormula",
    "configuration",
    "same_configuration",
]
