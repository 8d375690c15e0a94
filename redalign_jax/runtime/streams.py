"""Standard output and error that may be closed, full, or know few letters: no job ends for that."""

import errno
import os
import sys
from typing import Any, TextIO


class Lasting:
    """A stream whose reader may go: what cannot be written is dropped, and remembered.

    Attributes:
      failed: the first error; None as long as all went well.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.failed: OSError | None = None

    def write(self, text: str) -> int:
        """As of a stream."""
        self._do(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """As of a stream."""
        self._do(self._stream.flush)

    def _do(self, act: Any) -> None:
        try:
            act()
        except OSError as error:
            self.failed = self.failed or error
            # what is left in the buffer would fail again, at the very end
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
        except ValueError:  # closed by somebody
            self.failed = self.failed or OSError(errno.EBADF, os.strerror(errno.EBADF))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def last() -> None:
    """Makes both streams of this process lasting; letters that they do not know are escaped."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed before we began
            setattr(sys, name, Lasting(open(os.devnull, "w")))  # noqa: SIM115 as long as we live
        elif not isinstance(stream, Lasting):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
            setattr(sys, name, Lasting(stream))


def say_what_failed() -> None:
    """One line on the error stream where output is missing because its place is full."""
    sys.stdout.flush()
    failed = getattr(sys.stdout, "failed", None)
    if failed and failed.errno not in (errno.EPIPE, errno.EBADF):
        print(
            f"redalign_jax: standard output cannot be written: {failed.strerror}; all files are",
            file=sys.stderr,
        )
