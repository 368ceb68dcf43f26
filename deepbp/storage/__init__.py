"""Files of arrays: formats in a table, limits, and a JSON codec."""

LIMIT = 4 * 2**30
"""The largest file that is read unless another limit is given, in bytes."""
