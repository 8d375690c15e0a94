"""The look before training: what is said of data, and whether its test of pairing is one."""

import re

import numpy as np
import pytest
from helpers.commands import SMALL, command, refused

import redalign_jax as ra
from redalign_jax.data import look, notes

RNG = np.random.default_rng(0)
N = 120
Y = np.arange(N) % 3
A = RNG.normal(size=(N, 4)) + Y[:, None]
B = A @ RNG.normal(size=(4, 5)) + RNG.normal(size=(N, 5))


def lines(modalities, labels=Y, **more):
    notes.forget()
    found = ra.inspect(ra.arrays(modalities, labels, **more)).splitlines()
    assert len(found) <= look.LINES
    return found


def test_what_is_said_of_plain_data():
    found = lines({"a": A, "b": B})
    assert found[0] == "arrays: 120 rows, all labelled in 3 classes: 0 40, 1 40, 2 40"
    z = np.abs((A - A.mean(0)) / A.std(0)).max()
    assert found[1] == f"a: vector 4 (float64), all rows differ, largest z {z:.1f}"
    assert found[3] == "rows look paired: more alike across modalities than shuffled rows (p ≤ .01)"
    assert len(found) == 4


def test_what_is_odd_is_counted():
    odd = RNG.lognormal(3, 1.5, (N, 6))
    odd[:, 2] = 7
    odd[:5] = 0
    odd[5, 0] = 1e6
    labels = np.where(np.arange(N) < 30, np.nan, Y)
    found = lines({"counts": odd, "b": np.repeat(B[::2], 2, axis=0)}, labels)
    assert found[0].startswith("arrays: 120 rows, 90 labelled in 3 classes")
    z = np.abs((odd[:, 0] - odd[:, 0].mean()) / odd[:, 0].std()).max()
    for part in ("116 different rows", "5 rows all zero", f"largest z {z:.1f}", "skewed columns"):
        assert part in found[1], found[1]
    assert "data.transform=counts=log1p?" in found[1] and "60 different rows" in found[2]
    assert any("30 of 120 rows have no label" in line for line in found)
    log = lines({"counts": odd, "b": B}, labels, transform={"counts": "log1p"})
    assert "skewed" not in log[1]
    constant = lines({"a": np.hstack([A, np.ones((N, 2))]), "b": B})
    assert "2 constant columns" in constant[1]


def test_a_regression_a_split_groups_and_many_modalities():
    split = np.repeat(["train", "valid", "test"], [80, 20, 20])
    many = {f"m{i}": A + i for i in range(14)}
    found = lines(many, A[:, 0], split=split, groups=np.arange(N) // 2)
    assert "a regression from" in found[0] and len(found) <= look.LINES
    assert "split as given: 80 train, 20 valid, 20 test" in found
    assert "60 groups of rows that stay on one side of a split" in found


def test_rows_in_another_order_are_noticed():
    order = RNG.permutation(N)
    assert "a and b (p = " in lines({"a": A, "b": B[order]})[3]
    assert "not in one order" in lines({"a": A, "b": B[order]})[3]
    twice = {"a": np.repeat(A[order[:60]], 2, axis=0), "b": np.repeat(B[:60], 2, axis=0)}
    assert any("go together no better" in line for line in lines(twice))


def test_the_test_of_pairing_is_exact_and_sees_what_is_not_linear():
    """Under independence p ≤ .1 in a tenth of the cases, up to four standard errors."""
    rng = np.random.default_rng(1)
    found = [look.pairing(*rng.standard_t(2, (2, 40, 3))) for _ in range(200)]
    assert abs(np.mean(np.array(found) <= 0.1) - 0.1) < 4 * np.sqrt(0.1 * 0.9 / 200)
    x = rng.normal(size=(200, 1))
    assert look.pairing(x, x**2 + 0.1 * rng.normal(size=(200, 1))) <= 0.01


@pytest.fixture
def file(tmp_path):
    np.savez(tmp_path / "mine.npz", a=A, b=B, labels=Y)
    return tmp_path / "mine.npz"


@pytest.mark.slow
def test_the_job_says_it_and_needs_no_workdir(file):
    job = ("--job=inspect", "--config=arrays")
    done = command(*job, f"--config.data.path={file}")
    assert done.returncode == 0 and done.stdout.startswith(f"{file}: 120 rows, all labelled")
    assert len(done.stdout.splitlines()) <= look.LINES
    other = command("--job=inspect", "--config=redundancy")
    assert other.returncode == 0 and "redundancy_bits" in other.stdout
    refused(command(*job), "data.path is empty")


@pytest.mark.slow
def test_a_sweep_says_it_first_and_its_report_shows_it(file, tmp_path):
    out = tmp_path / "out"
    job = ("--job=sweep", "--config=arrays", f"--workdir={out}", f"--config.data.path={file}")
    done = command(*job, *SMALL)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{file}: 120 rows, all labelled in 3 classes")
    page = re.sub(r"\s+", " ", (out / "report.html").read_text())
    assert "<h2>The data</h2>" in page and "120 rows, all labelled in 3 classes" in page
