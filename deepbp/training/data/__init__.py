"""Where batches come from: arrays, data sets that are read item by item, and streams of batches."""

from deepbp.training.data.data import Data, check_batch_size
from deepbp.training.data.prefetch import prefetched
from deepbp.training.data.sources import Items, Source, Stream, as_source, first_shape

__all__ = ["Data", "Items", "Source", "Stream", "as_source", "check_batch_size", "first_shape", "prefetched"]
