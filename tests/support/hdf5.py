"""Read HDF5 files with h5py alone."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read every array of a file by its path in the file; texts are `str`."""
    found: dict[str, NDArray[Any]] = {}

    def keep(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            found[name] = np.asarray(node.asstr()[...] if h5py.check_string_dtype(node.dtype) else node[...])

    with h5py.File(path) as file:
        file.visititems(keep)
    return found


def group_names(path: Path) -> list[str]:
    """Return the names of a file's groups, in the order in which readers list them."""
    with h5py.File(path) as file:
        return list(file)
