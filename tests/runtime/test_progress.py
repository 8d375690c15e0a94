"""The time left is honest, and output fits where it goes."""

import sys
import time

import pytest

from redalign_jax.runtime.progress import Progress, say, span


@pytest.fixture
def clock(monkeypatch):
    """Seconds that a test moves on by hand."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def train(progress, clock, segments, steps, seconds):
    for _ in range(segments):
        clock[0] += seconds
        progress.advance(steps)


def test_compiling_and_earlier_work_do_not_count(clock):
    with Progress(10_000, 10, show=False, done=6_000) as progress:
        assert progress.rate == 0
        with progress.compiling():
            clock[0] += 500
        train(progress, clock, 4, 100, 2.0)
        assert progress.rate == pytest.approx(50)
        with progress.compiling():
            clock[0] += 500
        train(progress, clock, 4, 100, 2.0)
        assert progress.rate == pytest.approx(50)
        progress.skip(1_000)  # a block goes on from the middle
        train(progress, clock, 1, 100, 2.0)
        assert progress.rate == pytest.approx(50)
        assert progress.done == 7_900


def test_the_rate_follows_a_slower_program_and_counts_what_comes_with_every_block(clock):
    with Progress(10**9, 10, show=False) as progress:
        train(progress, clock, 100, 1000, 1.0)
        assert progress.rate == pytest.approx(1000)
        train(progress, clock, 200, 100, 1.0)  # as long as the latter half reaches back
        assert progress.rate == pytest.approx(100, rel=0.02)
        for _ in range(300):  # ten short segments, then a pause for measuring
            train(progress, clock, 10, 10, 0.001)
            clock[0] += 1.0
        assert progress.rate == pytest.approx(100, rel=0.05)
        train(progress, clock, 100, 10_000, 100.0)  # hours
        train(progress, clock, 700, 7, 1.0)  # ten minutes are enough to forget all that
        assert progress.rate == pytest.approx(7, rel=0.01)


def test_lines_elsewhere_are_few(clock, capsys):
    with Progress(36_000, 360, done=3_600) as progress:
        with progress.compiling():
            clock[0] += 120
        progress.note("one thing worth knowing")
        train(progress, clock, 32_400, 1, 1.0)  # nine hours
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "redalign_jax: 360 runs, 36,000 run-steps, 10% done before"
    assert lines[1] == "redalign_jax: one thing worth knowing"
    assert lines[-1] == "redalign_jax: done after 9 h 2 min, 2 min of it compiling; 1 run-steps/s"
    middle = lines[2:-1]
    assert 50 <= len(middle) <= 66  # one in ten minutes, and one for every tenth
    half = [line for line in middle if " 19 %" in line or " 20 %" in line]
    assert "run-steps, 1 run-steps/s, 8 h" in half[0]


def test_a_short_sweep_says_how_it_began_and_ended(clock, capsys):
    with pytest.raises(KeyboardInterrupt), Progress(100, 2) as progress:
        train(progress, clock, 20, 2, 1.0)
        raise KeyboardInterrupt
    assert capsys.readouterr().err.splitlines() == [
        "redalign_jax: 2 runs, 100 run-steps",
        "redalign_jax: stopped at 40 % after 20 s; 2 run-steps/s",
    ]


def test_several_things_one_after_the_other_have_names_and_silence_is_kept(clock, capsys):
    with Progress(10, 2, what="trials"):
        pass
    say("compiling")
    say("nothing", show=False)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "redalign_jax: 2 trials, 10 run-steps"
    assert lines[-1] == "redalign_jax: compiling"


def test_a_terminal_shows_a_bar_and_false_shows_nothing(clock, capsys, monkeypatch):
    with Progress(100, 2, show=False) as progress:
        progress.note("unseen")
        train(progress, clock, 2, 50, 1.0)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with Progress(100_000, 2, done=20_000) as progress:
        with progress.compiling():
            assert "compiling" in capsys.readouterr().err
        progress.note("a line above")
        train(progress, clock, 4, 5_000, 10.0)
        progress._bar.refresh()
        shown = capsys.readouterr().err
    assert "a line above\n" in shown
    bar = shown.split("\r")[-1]
    assert "2 runs:  40%" in bar
    assert "40.0k/100k run-steps, 500 run-steps/s, 2 min left" in bar


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (99.4, "99 s"), (100, "2 min"), (5930, "99 min"), (6030, "1 h 40 min"),
     (7201, "2 h 0 min"), (3 * 86400 + 7200, "3 d 2 h")],
)  # fmt: skip
def test_spans_are_read_at_a_glance(seconds, words):
    assert span(seconds) == words
