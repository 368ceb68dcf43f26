"""What a network learns."""

from deepbp.parameter.parameter import UNBUILT, Buffer, Parameter
from deepbp.parameter.vector import ParameterVector

__all__ = ["UNBUILT", "Buffer", "Parameter", "ParameterVector"]
