"""The version of the package, on the ground floor, where files can name it."""

__version__ = "0.1.0"
