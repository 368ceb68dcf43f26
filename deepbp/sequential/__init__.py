"""The network."""

from deepbp.sequential.sequential import Sequential

__all__ = ["Sequential"]
