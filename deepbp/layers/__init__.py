"""The layers: each a formula and its derivation, forwards and backwards on one screen."""

from deepbp.layers.activations import ReLU, Sigmoid, Softmax, Tanh
from deepbp.layers.builder import Builder
from deepbp.layers.chain import Chain
from deepbp.layers.configuration import configuration, same_configuration
from deepbp.layers.dense import Dense
from deepbp.layers.flatten import Flatten
from deepbp.layers.formula import Formula, LossFormula, UpdateFormula
from deepbp.layers.layer import Layer
from deepbp.layers.reshape import Reshape

__all__ = [
    "Builder",
    "Chain",
    "Dense",
    "Flatten",
    "Formula",
    "Layer",
    "LossFormula",
    "ReLU",
    "Reshape",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "UpdateFormula",
    "configuration",
    "same_configuration",
]
