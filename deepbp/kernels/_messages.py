"""What kernels refuse, once for both forms: compiled loops would read past the end of an array that is too short.

Compiled code cannot write a message, so it raises one of these with the numbers that belong into it.
"""

OTHER_SHAPE = "backward: expected a delta of the output's shape {}, got {}"
OTHER_STATE = "optimizer: expected a state as long as the parameters, {} numbers, got {}: make it with start"
WHOLE_NUMBERS = "expected an array of float32 or float64, got whole numbers: use .astype('float32')"
NOT_ROWS = "expected a bias for each column of an array of shape {}, got {}"
