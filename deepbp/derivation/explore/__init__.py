"""An interactive HTML page for one training step: a drawing of the network, and its passes layer by layer."""

from deepbp.derivation.explore.page import page, write_page

__all__ = ["page", "write_page"]
