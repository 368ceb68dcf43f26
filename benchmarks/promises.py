"""Performance targets of deepbp; a run reports which of them are met."""

from attrs import frozen

STEP, NUMPY = "deepbp, Trainer.step", "deepbp, NumPy kernels"


@frozen
class Promise:
    """Bound of the ratio of a library's time to deepbp's on a workload; an upper bound for the floor."""

    workload: str
    against: str
    ratio: float
    at_most: bool = False
    own: str = "deepbp"
    threads: int = 1

    def kept(self, measured: float) -> bool:
        """Whether the measured ratio meets the target."""
        return measured <= self.ratio if self.at_most else measured >= self.ratio


# Of training through fit: the floor at most, then JAX scan, JAX jit and PyTorch eager at least.
_BOUNDS = {
    "3-4-1 of the notes, batch 4, SGD": (2.5, 2, 20, 60),
    "3-4-2, batch 4, SGD": (3, 3, 20, 60),
    "64-32-10, batch 32, Adam": (2.6, 1.5, 4, 15),
    "784-30-10 sigmoid, batch 10, SGD": (1.8, 1.4, 3, 8),
    "20 layers of 64, batch 32, Adam": (1.7, 1.3, 2, 8),
    "784-128-10, batch 64, Adam": (1.7, 1.1, 1.5, 3),
    "784-512-512-10, batch 128, Adam": (1.35, 1.05, 1.1, 1.5),
    "1024-2048-2048-10, batch 512, Adam": (1.15, 1.0, 1.1, 1.2),
}
_PEERS = ("floor", "JAX scan", "JAX jit", "PyTorch eager")

PROMISES = [
    *(
        Promise(name, peer, bound, at_most=peer == "floor", threads=2 if name.startswith("1024") else 1)
        for name, bounds in _BOUNDS.items()
        for peer, bound in zip(_PEERS, bounds, strict=True)
    ),
    Promise("3-4-1 of the notes, batch 4, SGD", "handwritten NumPy", 2, own=STEP),
    Promise("64-32-10, inference, batch 1", "PyTorch eager", 3),
    *(
        Promise(name, "PyTorch eager", 1.0, own=NUMPY)
        for name in _BOUNDS
        if name.startswith(("3-4-2", "64-", "784-128", "784-512", "1024"))
    ),
]
