"""Files of networks, trainings and arrays: safe to load from untrusted sources, and checked for damage."""

from typing import Any

from deepbp._config import publish
from deepbp._suggestions import suggest_names
from deepbp.files.exported_weights import save_weights, weights_for
from deepbp.files.network import save
from deepbp.files.weights import WeightsReport, load_weights
from deepbp.storage.npz_format import read_archive, write_archive

__all__ = [
    "WeightsReport",
    "load",
    "load_weights",
    "read_archive",
    "save",
    "save_weights",
    "weights_for",
    "write_archive",
]

load: Any  # imported on first use: it returns a Sequential, which stands on a higher floor
globals()["__getattr__"] = suggest_names(__name__, {"load": "deepbp.sequential"})
publish(__name__, "deepbp.storage.")
