"""Alias of ``deepbp.metrics``, where the metrics are defined."""

from deepbp.metrics import *  # noqa: F403
from deepbp.metrics import __all__ as __all__
