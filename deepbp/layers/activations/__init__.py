"""The activations: functions of what a layer has summed up, most of them of each number by itself."""

from deepbp.layers.activations.relu import ReLU
from deepbp.layers.activations.sigmoid import Sigmoid
from deepbp.layers.activations.softmax import Softmax
from deepbp.layers.activations.tanh import Tanh

__all__ = ["ReLU", "Sigmoid", "Softmax", "Tanh"]
