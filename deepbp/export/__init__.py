"""Export of networks to PyTorch and JAX, from the formulas of their layers; ``deepbp.onnx`` exports to ONNX."""

from deepbp._config import publish
from deepbp.export.jax_export import jax_function
from deepbp.export.torch_export import torch_module

__all__ = ["jax_function", "torch_module"]

publish(__name__)
