"""How far a sweep is and how long it still takes: a bar on a terminal, a few lines elsewhere."""

import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from tqdm import tqdm

BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} run-steps{postfix}"
WINDOW = 600.0  # seconds over which the rate is taken, at most
QUIET = 30.0  # least seconds between two lines
SILENT = 600.0  # most seconds without a line, as far as segments end


class Progress:
    """Counts run-steps and tells the time left.

        with Progress(total, runs) as progress:
            with progress.compiling():
                ...
            progress.advance(run_steps)  # after every segment

    The rate is that of the latter half of the time trained so far, of its last ten minutes if that
    is less: it follows programs that differ in speed and does not jump from segment to segment.
    Compiling does not count, nor does what an earlier process trained; all else that comes again
    with every block of runs (loading, measuring, saving) does.

    Args:
      total: run-steps of the whole sweep.
      runs: their number.
      show: False shows nothing; None a bar on a terminal and lines elsewhere; True always a bar.
      done: run-steps that an earlier process has trained.
      what: is trained, for jobs that train several things one after the other.
    """

    def __init__(
        self,
        total: int,
        runs: int,
        show: bool | None = None,
        done: int = 0,
        what: str = "runs",
    ) -> None:
        self.total, self.runs, self.done, self.what = total, runs, done, what
        self._bar: tqdm | None = None
        self._lines = show is None and not sys.stderr.isatty()
        self._show_bar = show is not False and not self._lines
        self._before = done
        self._compiling = 0.0  # seconds
        self._points = deque([(0.0, 0)])  # (seconds, run-steps) trained here, oldest first

    def __enter__(self) -> "Progress":
        self._began = self._said = time.monotonic()
        self._said_done = self.done
        earlier = f", {self.done / self.total:.0%} done before" if self.done else ""
        if self._show_bar:
            self._bar = tqdm(
                total=self.total,
                initial=self.done,
                desc=f"{self.runs:,} {self.what}",
                unit_scale=True,
                bar_format=BAR,
            )
        elif self._lines:
            say(f"{self.runs:,} {self.what}, {self.total:,} run-steps{earlier}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self._lines:
            took = time.monotonic() - self._began
            mean = (self.done - self._before) / max(took - self._compiling, 1e-9)
            ended = "done" if kind is None else f"stopped at {self._part()}"
            compiling = f", {span(self._compiling)} of it compiling" if self._compiling >= 1 else ""
            say(f"{ended} after {span(took)}{compiling}; {mean:,.0f} run-steps/s")

    @property
    def rate(self) -> float:
        """Run-steps per second; 0 before the first segment has ended."""
        (then, before), (now, after) = self._points[0], self._points[-1]
        return (after - before) / max(now - then, 1e-9)

    @contextmanager
    def compiling(self) -> Iterator[None]:
        """Leaves the time spent inside out of the rate, and says on a terminal what it is."""
        began = time.monotonic()
        if self._bar is not None:
            self._bar.set_postfix_str("compiling")
        try:
            yield
        finally:
            self._compiling += time.monotonic() - began

    def skip(self, run_steps: int) -> None:
        """So many run-steps more turn out to have been trained by an earlier process."""
        self.done += run_steps
        self._before += run_steps
        if self._bar is not None:
            self._bar.update(run_steps)

    def advance(self, run_steps: int) -> None:
        """A segment has ended in which so many run-steps were trained."""
        now = time.monotonic()
        trained = now - self._began - self._compiling
        self.done += run_steps
        if len(self._points) > 1 and trained - self._points[-2][0] < 0.1:
            self._points.pop()  # many short segments make one point
        self._points.append((trained, self.done - self._before))
        oldest = trained - min(trained / 2, WINDOW)
        while len(self._points) > 2 and self._points[1][0] <= oldest:
            self._points.popleft()
        if self._bar is not None:
            self._bar.set_postfix_str(f"{self._speed()[2:]}, {self._left()}", refresh=False)
            self._bar.update(run_steps)
        elif self._lines and self.done < self.total:
            waited, more = now - self._said, self.done - self._said_done
            if waited >= SILENT or (waited >= QUIET and more >= 0.1 * self.total):
                say(
                    f"{self._part()}, {self.done:,} of {self.total:,} run-steps"
                    f"{self._speed()}, {self._left()}"
                )
                self._said, self._said_done = now, self.done

    def note(self, line: str) -> None:
        """Shows a line, above the bar where there is one."""
        if self._bar is not None:
            self._bar.write(line, file=sys.stderr)
        elif self._lines:
            say(line)

    def _part(self) -> str:
        return f"{100 * self.done // max(self.total, 1)} %"

    def _speed(self) -> str:
        return f", {self.rate:,.0f} run-steps/s" if self.rate else ""

    def _left(self) -> str:
        left = max(self.total - self.done, 0) / max(self.rate, 1e-9)
        return f"{span(left)} left"


def say(line: str, show: bool | None = None) -> None:
    """A line for people, unless `show` is False."""
    if show is not False:
        print(f"redalign_jax: {line}", file=sys.stderr, flush=True)


def span(seconds: float) -> str:
    """A duration in words, to two figures or so: 48 s, 12 min, 3 h 20 min, 2 d 5 h."""
    minutes = round(seconds / 60)
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if minutes < 100:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"
