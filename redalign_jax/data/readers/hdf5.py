"""HDF5 files that are opened only if all they say is in them."""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from redalign_jax.data.readers import bounds
from redalign_jax.errors import UserError


@contextlib.contextmanager
def opened(path: str, extra: str) -> Iterator[Any]:
    """The file, read-only.

    Args:
      path: the file.
      extra: of the package, that installs what is missing.

    Raises:
      UserError: h5py is missing, the file is none or damaged, it points out of itself, or it
        unpacks to too much.
    """
    try:
        import h5py
    except ImportError:
        raise UserError(
            f"{path}: needs h5py, which is not installed: pip install 'redalign-jax[{extra}]'"
        ) from None
    try:
        file = h5py.File(path, "r")
    except Exception as error:  # whatever a foreign file makes HDF5 say
        raise UserError(f"{path}: not an HDF5 file that can be read ({_line(error)})") from None
    with file:
        try:
            _check(file, path)
            yield file
        except UserError:
            raise
        except (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError) as error:
            raise UserError(f"{path}: cannot be read ({_line(error)})") from None


def _check(file: Any, path: str) -> None:
    """Refuses links to other files, data kept in other files, and a promise of too much."""
    import h5py

    total, waiting, seen = 0.0, [file], set()
    while waiting:
        group = waiting.pop()
        for name in group:
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise UserError(
                    f"{path}: {group.name.rstrip('/')}/{name} is a link to another file, "
                    f"{str(link.filename)[:60]!r}; links are not followed, copy the data into it"
                )
            if isinstance(link, h5py.SoftLink):
                continue  # within the file: found where it leads, or followed when it is read
            held = group[name]
            at = h5py.h5o.get_info(held.id).addr
            if at in seen:
                continue
            seen.add(at)
            if isinstance(held, h5py.Group):
                waiting.append(held)
            elif isinstance(held, h5py.Dataset):
                if held.external or held.is_virtual:
                    raise UserError(
                        f"{path}: the values of {held.name} are in another file, which is not "
                        "opened; copy them into it"
                    )
                total += float(np.prod(held.shape or (0,), dtype=float)) * held.dtype.itemsize
    bounds.check(path, total)


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
