"""Tables at the boundary, and the bundled data sets."""

from bayeslmm.data.datasets import dataset_names, load_dataset
from bayeslmm.data.table import read_table, to_frame

__all__ = ["dataset_names", "load_dataset", "read_table", "to_frame"]
