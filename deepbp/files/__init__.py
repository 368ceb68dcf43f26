"""Files that hold networks and trainings: nothing in them is run, and what is damaged is refused."""

from deepbp.files.archive import read_archive, write_archive

__all__ = ["read_archive", "write_archive"]
