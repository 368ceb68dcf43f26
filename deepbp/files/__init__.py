"""Files of networks, trainings and arrays: safe to load from untrusted sources, and checked for damage."""

from typing import TYPE_CHECKING, Any

from deepbp._config import publish
from deepbp.storage.npz_format import read_archive, write_archive

if TYPE_CHECKING:
    from deepbp.files.exported_weights import save_weights, weights_for
    from deepbp.files.network import save
    from deepbp.files.weights import WeightsReport, load_weights

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

load: Any  # it returns a Sequential, which stands on a higher floor

publish(
    __name__,
    "deepbp.storage.",
    homes={
        "files.exported_weights": "save_weights weights_for",
        "files.network": "save",
        "files.weights": "WeightsReport load_weights",
        "sequential": "load",
    },
)
