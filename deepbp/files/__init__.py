"""Files that hold networks and trainings: nothing in them is run, and what is damaged is refused."""

from deepbp._config import publish
from deepbp.files.storing import load, save
from deepbp.files.weights import WeightsReport, load_weights
from deepbp.storage.npz_format import read_archive, write_archive

__all__ = ["WeightsReport", "load", "load_weights", "read_archive", "save", "write_archive"]

publish(__name__, "deepbp.storage.")
