"""Alias of ``deepbp.callbacks``, where the callbacks are defined."""

from deepbp.callbacks import *  # noqa: F403
from deepbp.callbacks import __all__ as __all__
