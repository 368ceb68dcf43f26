"""Networks as files of ONNX. Extra ``deepbp[onnx]``."""

from deepbp._config import publish
from deepbp.errors import ConfigurationError

try:
    from deepbp.onnx.onnx_export import export
    from deepbp.onnx.onnx_import import load
    from deepbp.onnx.sklearn_converter import register_converters
except ImportError as error:
    if (error.name or "").partition(".")[0] != "onnx":
        raise
    raise ConfigurationError("onnx is not installed: pip install 'deepbp[onnx]'") from error

__all__ = ["export", "load", "register_converters"]

publish(__name__)
