"""How much a file may unpack to."""

import os

from redalign_jax.errors import UserError

RATIO = 200  # times its own size, above `ALWAYS`
ALWAYS = 2**30  # bytes that any file may unpack to
DENSE = 2**28  # numbers of a sparse matrix made dense, or of padded sequences; 2 GiB as float64


def check(path: str, unpacked: float) -> None:
    """Refuses a file before its content is made.

    Args:
      path: the file, or a folder's largest one.
      unpacked: bytes of its arrays, as it says itself.

    Raises:
      UserError: these are more than the machine's memory, or more than `ALWAYS` and `RATIO` times
        the file's size, as no honest data are.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    size = os.path.getsize(path)
    if unpacked > memory:
        raise UserError(
            f"{path}: unpacks to {unpacked / 1e9:,.1f} GB, above this machine's memory of "
            f"{memory / 1e9:,.1f} GB; a folder of .npy files is not unpacked"
        )
    if unpacked > ALWAYS and unpacked > RATIO * size:
        raise UserError(
            f"{path}: says that {size:,} bytes unpack to {unpacked / 1e9:,.1f} GB, more than "
            f"{RATIO} times; not read"
        )


def dense(numbers: float, name: str, source: str, what: str = "made dense") -> None:
    """Refuses a sparse matrix, or sequences, that would be too large as an array.

    Raises:
      UserError: above `DENSE` numbers.
    """
    if numbers > DENSE:
        raise UserError(
            f"{source}: {name!r} is too large to be {what}, {numbers:,.0f} numbers; reduce its "
            "columns, for example with sklearn.decomposition.TruncatedSVD"
        )
