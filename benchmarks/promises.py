"""Performance targets of deepbp; a run reports which of them are met."""

from attrs import frozen


@frozen
class Promise:
    """Bound of the ratio of a library's time to deepbp's on a workload; an upper bound for the floor and the loop."""

    workload: str
    against: str
    ratio: float
    at_most: bool = False
    own: str = "deepbp"

    def kept(self, measured: float) -> bool:
        """Whether the measured ratio meets the target."""
        return measured <= self.ratio if self.at_most else measured >= self.ratio


PROMISES = [
    Promise("3-4-1 of the notes, batch 4, SGD", "handwritten NumPy", 1.15, at_most=True),
    Promise("3-4-2, batch 4, SGD", "PyTorch eager", 6),
    Promise("64-32-10, batch 32, Adam", "PyTorch eager", 6),
    Promise("64-32-10, batch 32, Adam", "JAX jit", 1.4),
    Promise("784-128-10, batch 64, Adam", "PyTorch eager", 2.5),
    Promise("784-128-10, batch 64, Adam", "JAX jit", 1.3),
    Promise("784-512-512-10, batch 128, Adam", "floor", 1.4, at_most=True),
    Promise("784-512-512-10, batch 128, Adam", "PyTorch eager", 2),
    Promise("784-512-512-10, batch 128, Adam", "JAX jit", 1.05),
    Promise("1024-2048-2048-10, batch 512, Adam", "floor", 1.2, at_most=True),
    Promise("1024-2048-2048-10, batch 512, Adam", "PyTorch eager", 1.8),
    Promise("1024-2048-2048-10, batch 512, Adam", "JAX jit", 1.1),
    Promise("64-32-10, inference, batch 1", "PyTorch eager", 3),
    *(
        Promise(name, "PyTorch eager", 1.0, own="deepbp, NumPy kernels")
        for name in (
            "3-4-2, batch 4, SGD",
            "64-32-10, batch 32, Adam",
            "784-128-10, batch 64, Adam",
            "784-512-512-10, batch 128, Adam",
            "1024-2048-2048-10, batch 512, Adam",
        )
    ),
]
