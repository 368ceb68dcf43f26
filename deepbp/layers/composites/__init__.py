"""The composites: layers made of layers, which obey the same contract, so that they nest to any depth."""

from deepbp.layers.composites.parallel import Parallel
from deepbp.layers.composites.penalized import Penalized
from deepbp.layers.composites.repeat import Repeat
from deepbp.layers.composites.residual import Residual
from deepbp.layers.composites.split import Split

__all__ = ["Parallel", "Penalized", "Repeat", "Residual", "Split"]
