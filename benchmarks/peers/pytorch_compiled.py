"""PyTorch with torch.compile on the model."""

from collections.abc import Callable
from typing import Any

import torch

from benchmarks.peers import pytorch
from benchmarks.workloads import Workload


def prepare(workload: Workload) -> Callable[[], Any]:
    return pytorch.prepare(workload, wrap=torch.compile)
