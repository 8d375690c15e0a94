"""An .npz file: an array per modality and one named `labels`."""

import contextlib
import zipfile
from collections.abc import Iterator

import numpy as np

from redalign_jax.data import members
from redalign_jax.data.members import Asked, Raw
from redalign_jax.data.readers import bounds
from redalign_jax.errors import UserError

_SPARSE = {"indices", "indptr", "format", "shape", "data"}


def read(path: str, asked: Asked) -> Raw:
    """Reads the file; see `arrays.load` for what is in it.

    Raises:
      UserError: one line that names the file and what is wrong with it.
    """
    with _open(path) as file:
        names = list(file.files)
        if set(names) >= _SPARSE:
            raise UserError(
                f"{path}: one sparse matrix, of scipy.sparse.save_npz; write arrays instead, with "
                "numpy.savez(…, NAME=matrix.toarray(), labels=…)"
            )
        bounds.check(path, sum(member.file_size for member in file.zip.infolist()))

        def get(name: str, labels: bool = False) -> np.ndarray:
            return _member(file, name, path, labels)

        return members.assigned(names, get, asked, path)


@contextlib.contextmanager
def _open(path: str) -> Iterator[np.lib.npyio.NpzFile]:
    try:
        stream = open(path, "rb")  # noqa: SIM115  numpy leaves it open where it is no archive
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    with stream:
        file = None
        try:
            file = np.load(stream, allow_pickle=False)
        except OSError as error:
            if error.errno:
                raise UserError(f"{path}: cannot be read ({error.strerror})") from None
        except Exception:  # whatever a foreign file makes numpy and zipfile say
            pass
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise UserError(f"{path}: not an .npz file; write one with numpy.savez")
        with file:
            yield file


def _member(file: np.lib.npyio.NpzFile, name: str, path: str, labels: bool = False) -> np.ndarray:
    try:
        _check_header(file.zip, name)
        value = np.asarray(file[name])
    except Exception as error:  # whatever a foreign file makes numpy and zipfile say
        if "allow_pickle" in str(error):
            how = (
                "save whole numbers, for example of pandas.factorize(labels)[0], which makes "
                "missing ones -1 (then: --config.data.unlabelled=-1)"
                if labels
                else f"save numbers, for example {name}.astype(float)"
            )
            raise UserError(
                f"{path}: array {name!r} holds Python objects (pickle), which are never loaded; "
                f"{how}"
            ) from None
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{path}: array {name!r} cannot be read ({reason})") from None
    if value.dtype.kind in "biufc":  # in the byte order of this machine
        value = value.astype(value.dtype.newbyteorder("="), copy=False)
    return value


def _check_header(file: zipfile.ZipFile, name: str) -> None:
    """Refuses a member whose header promises another size than it has; memory is made for it."""
    member = f"{name}.npy" if f"{name}.npy" in file.namelist() else name
    with file.open(member) as stream:
        magic = stream.read(6)
        if magic != b"\x93NUMPY":
            return  # numpy gives its bytes, which are no array
        major = stream.read(2)[0]
        size = int.from_bytes(stream.read(2 if major == 1 else 4), "little")
        if size > 2**20:
            raise ValueError(f"its header says that it is {size:,} bytes long")
        stream.seek(0)
        np.lib.format.read_magic(stream)
        read = {
            1: np.lib.format.read_array_header_1_0,
            2: np.lib.format.read_array_header_2_0,
        }.get(major)
        if read is None:
            return
        shape, _, dtype = read(stream)
        promised = int(np.prod(shape, dtype=object)) * dtype.itemsize
        there = file.getinfo(member).file_size - stream.tell()
        if not dtype.hasobject and promised != there:
            raise ValueError(
                f"its header promises {promised:,} bytes of values, and there are {there:,}"
            )
