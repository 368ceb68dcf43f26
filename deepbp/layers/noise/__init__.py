"""Noise that keeps a network from learning its samples by heart; in inference there is none."""

from deepbp.layers.noise.dropout import Dropout
from deepbp.layers.noise.gaussian_noise import GaussianNoise

__all__ = ["Dropout", "GaussianNoise"]
