"""Alias of ``deepbp.metrics``, where the metrics live."""

from deepbp.metrics import *  # noqa: F403
from deepbp.metrics import __all__ as __all__
