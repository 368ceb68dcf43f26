"""A page to explore one step of training: the network drawn, played forwards and backwards layer by layer."""

from deepbp.derivation.explore.page import page, write_page

__all__ = ["page", "write_page"]
