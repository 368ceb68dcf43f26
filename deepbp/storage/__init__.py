"""Files of arrays: formats in a table, limits, and a JSON codec."""
