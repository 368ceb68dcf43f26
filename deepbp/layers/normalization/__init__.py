"""Normalisations: what comes in gets mean 0 and variance 1, or size 1, over samples, features or groups of them."""

from deepbp.layers.normalization.batch_norm import BatchNorm
from deepbp.layers.normalization.group_norm import GroupNorm
from deepbp.layers.normalization.layer_norm import LayerNorm
from deepbp.layers.normalization.rms_norm import RMSNorm

__all__ = ["BatchNorm", "GroupNorm", "LayerNorm", "RMSNorm"]
