"""The activations: functions of what a layer has summed up, most of them of each number by itself."""

from deepbp.layers.activations.activation import Activation
from deepbp.layers.activations.celu import CELU
from deepbp.layers.activations.elu import ELU
from deepbp.layers.activations.gaussian import Gaussian
from deepbp.layers.activations.gelu import GELU
from deepbp.layers.activations.hard_sigmoid import HardSigmoid
from deepbp.layers.activations.hard_swish import HardSwish
from deepbp.layers.activations.leaky_relu import LeakyReLU
from deepbp.layers.activations.log_sigmoid import LogSigmoid
from deepbp.layers.activations.log_softmax import LogSoftmax
from deepbp.layers.activations.mish import Mish
from deepbp.layers.activations.prelu import PReLU
from deepbp.layers.activations.relu import ReLU
from deepbp.layers.activations.relu6 import ReLU6
from deepbp.layers.activations.selu import SELU
from deepbp.layers.activations.sigmoid import Sigmoid
from deepbp.layers.activations.silu import SiLU, Swish
from deepbp.layers.activations.sine import Sine
from deepbp.layers.activations.softmax import Softmax
from deepbp.layers.activations.softplus import Softplus
from deepbp.layers.activations.softsign import Softsign
from deepbp.layers.activations.tanh import Tanh

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
