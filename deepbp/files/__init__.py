"""Files that hold networks and trainings: nothing in them is run, and what is damaged is refused."""

from deepbp.files.archive import read_archive, write_archive
from deepbp.files.storing import load, save
from deepbp.files.weights import WeightsReport, load_weights

__all__ = ["WeightsReport", "load", "load_weights", "read_archive", "save", "write_archive"]
