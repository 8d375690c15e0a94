"""What is drawn of a workdir: its page, and TensorBoard's event files."""

from collections.abc import Callable
from pathlib import Path

from redalign_jax.errors import UserError


def report(folder: str | Path) -> Path:
    """Draws the report of what a workdir holds, without training.

    Args:
      folder: the workdir of a sweep, a decomposition or both.

    Returns:
      The path of `report.html`.

    Raises:
      UserError: a file of the workdir is missing or cannot be read.
    """
    from redalign_jax import report as room

    room.make(folder)
    return Path(folder) / "report.html"


def event_files() -> Callable[..., int]:
    """What writes event files; asked for before anything is trained."""
    try:
        from redalign_jax.report import tensorboard
    except ModuleNotFoundError as error:
        if not str(error.name).startswith("tensorboardX"):
            raise
        raise UserError(
            "log.tensorboard: no tensorboardX; pip install 'redalign-jax[tensorboard]'"
        ) from None
    return tensorboard.write
