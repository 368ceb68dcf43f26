"""deepbp: backpropagation through any number of layers, in NumPy.

>>> from deepbp import Sequential
>>> from deepbp.layers import Dense, Sigmoid
>>> net = Sequential([Dense(4), Sigmoid(), Dense(1), Sigmoid()], input_shape=(3,), rng=0)
"""

from deepbp import errors, initializers, layers, losses, optimizers, training
from deepbp.parameter import Buffer, Parameter, ParameterVector
from deepbp.sequential import Sequential
from deepbp.training import History, Trainer

__version__ = "0.1.0"

__all__ = [
    "Buffer",
    "History",
    "Parameter",
    "ParameterVector",
    "Sequential",
    "Trainer",
    "errors",
    "initializers",
    "layers",
    "losses",
    "optimizers",
    "training",
]
