"""How every fused kernel is compiled."""

from numba import njit

compiled = njit(
    cache=True,  # on disk: compiled once, not once a process
    nogil=True,  # threads that predict run side by side
    error_model="numpy",  # a division by zero gives infinity; a check for it would stop vectorisation
    fastmath={"contract"},  # a·b + c in one rounding; nothing that assumes finite numbers or reorders sums
)
