"""The layers: each a formula and its derivation, forwards and backwards on one screen."""

from typing import TYPE_CHECKING

from deepbp._config import configuration, publish, same_configuration
from deepbp.formulas.language import Formula, LossFormula, PenaltyFormula, UpdateFormula
from deepbp.layers import activations

if TYPE_CHECKING:
    from deepbp.layers.activations import *  # their names are listed below
    from deepbp.layers.attention import CrossAttention, Positions, SelfAttention
    from deepbp.layers.bilinear import Bilinear
    from deepbp.layers.boundary import Built as Built  # in the pickle of every built layer
    from deepbp.layers.chain import Chain
    from deepbp.layers.composites import Parallel, Repeat, Residual, Split
    from deepbp.layers.convolution import Conv1D, Conv2D, ConvTranspose1D, ConvTranspose2D, DepthwiseConv2D
    from deepbp.layers.dense import Dense, TiedDense
    from deepbp.layers.embedding import Embedding
    from deepbp.layers.formula_layer import FormulaLayer
    from deepbp.layers.inner_graph import Expression, InnerGraph, MergeBy, Node, Operation, PenaltyTerm, SliceColumns
    from deepbp.layers.layer import Builder, Layer
    from deepbp.layers.masking import Context
    from deepbp.layers.maxout import Maxout
    from deepbp.layers.noise import Dropout, GaussianNoise
    from deepbp.layers.normalization import BatchNorm, GroupNorm, LayerNorm, RMSNorm
    from deepbp.layers.penalized import L1, L1L2, L2, Penalized, Penalty
    from deepbp.layers.pooling import (
        AveragePool1D,
        AveragePool2D,
        GlobalAveragePool,
        GlobalMaxPool,
        MaxPool1D,
        MaxPool2D,
        UpSample2D,
        ZeroPad2D,
    )
    from deepbp.layers.recurrent import GRU, LSTM, Bidirectional, SimpleRNN
    from deepbp.layers.scaling import Scale, Shift, Standardize
    from deepbp.layers.sequences import EncoderDecoder, Masked, PerStep, SliceSteps
    from deepbp.layers.shapes import Flatten, Reshape, StopGradient
    from deepbp.layers.sublayers import Sublayer as Sublayer  # in the pickles of composites
    from deepbp.layers.sublayers import _Identity as _Identity

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GRU",
    "L1",
    "L1L2",
    "L2",
    "LSTM",
    "SELU",
    "Activation",
    "AveragePool1D",
    "AveragePool2D",
    "BatchNorm",
    "Bidirectional",
    "Bilinear",
    "Builder",
    "Chain",
    "Context",
    "Conv1D",
    "Conv2D",
    "ConvTranspose1D",
    "ConvTranspose2D",
    "CrossAttention",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "Embedding",
    "EncoderDecoder",
    "Expression",
    "Flatten",
    "Formula",
    "FormulaLayer",
    "Gaussian",
    "GaussianNoise",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "GroupNorm",
    "HardSigmoid",
    "HardSwish",
    "InnerGraph",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "LossFormula",
    "Masked",
    "MaxPool1D",
    "MaxPool2D",
    "Maxout",
    "MergeBy",
    "Mish",
    "Node",
    "Operation",
    "PReLU",
    "Parallel",
    "Penalized",
    "Penalty",
    "PenaltyFormula",
    "PenaltyTerm",
    "PerStep",
    "Positions",
    "RMSNorm",
    "ReLU",
    "ReLU6",
    "Repeat",
    "Reshape",
    "Residual",
    "Scale",
    "SelfAttention",
    "Shift",
    "SiLU",
    "Sigmoid",
    "SimpleRNN",
    "Sine",
    "SliceColumns",
    "SliceSteps",
    "Softmax",
    "Softplus",
    "Softsign",
    "Split",
    "Standardize",
    "StopGradient",
    "Swish",
    "Tanh",
    "TiedDense",
    "UpSample2D",
    "UpdateFormula",
    "ZeroPad2D",
    "configuration",
    "same_configuration",
]

publish(
    __name__,
    "deepbp._config.",
    "deepbp.formulas.",
    homes={
        "layers.activations": " ".join(activations.__all__),
        "layers.attention": "CrossAttention Positions SelfAttention",
        "layers.bilinear": "Bilinear",
        "layers.boundary": "Built",
        "layers.chain": "Chain",
        "layers.composites": "Parallel Repeat Residual Split",
        "layers.convolution": "Conv1D Conv2D ConvTranspose1D ConvTranspose2D DepthwiseConv2D",
        "layers.dense": "Dense TiedDense",
        "layers.embedding": "Embedding",
        "layers.formula_layer": "FormulaLayer",
        "layers.inner_graph": "Expression InnerGraph MergeBy Node Operation PenaltyTerm SliceColumns",
        "layers.layer": "Builder Layer",
        "layers.masking": "Context",
        "layers.maxout": "Maxout",
        "layers.noise": "Dropout GaussianNoise",
        "layers.normalization": "BatchNorm GroupNorm LayerNorm RMSNorm",
        "layers.penalized": "L1 L1L2 L2 Penalized Penalty",
        "layers.pooling": "AveragePool1D AveragePool2D GlobalAveragePool GlobalMaxPool MaxPool1D MaxPool2D "
        "UpSample2D ZeroPad2D",
        "layers.recurrent": "GRU LSTM Bidirectional SimpleRNN",
        "layers.scaling": "Scale Shift Standardize",
        "layers.sequences": "EncoderDecoder Masked PerStep SliceSteps",
        "layers.shapes": "Flatten Reshape StopGradient",
        "layers.sublayers": "Sublayer _Identity",
    },
)
