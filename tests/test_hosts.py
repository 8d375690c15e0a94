"""Several processes are one machine: the same table, whoever trained which run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def lives(tmp_path_factory):
    """Runs `joined.py` and returns exit statuses and what was said."""
    cache = tmp_path_factory.mktemp("cache")

    def run(folder, processes, devices, *how):
        done = subprocess.run(
            [sys.executable, HERE / "joined.py", folder, str(processes), str(devices), *how],
            env={
                **os.environ,
                "PYTHONPATH": str(HERE.parent),
                "JAX_COMPILATION_CACHE_DIR": str(cache),
                "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            },
            capture_output=True,
            text=True,
            timeout=600,
        )
        # gloo writes to the same output
        return json.loads(done.stdout.splitlines()[-1]), done.stderr

    return run


@pytest.fixture(scope="module")
def alone(lives, tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    assert lives(folder, 1, 4)[0] == [0]
    return folder


def assert_identical(folder, alone):
    for name in ("results.parquet", "curves.parquet", "results.csv", "curves.csv"):
        assert (folder / name).read_bytes() == (alone / name).read_bytes(), name


def test_two_processes_are_one(lives, alone, tmp_path):
    assert lives(tmp_path, 2, 2)[0] == [0, 0]
    assert_identical(tmp_path, alone)


def test_four_processes_stop_together_and_go_on(lives, alone, tmp_path):
    statuses, _ = lives(
        tmp_path, 4, 1, "stop", "17"
    )  # one of them gets SIGTERM in the second block
    assert statuses == [75] * 4
    statuses, said = lives(tmp_path, 4, 1)
    assert statuses == [0] * 4
    assert "bit-identical" not in said
    assert_identical(tmp_path, alone)


def test_hosts_that_do_not_share_a_folder_are_told(lives, tmp_path):
    statuses, said = lives(tmp_path, 2, 1, "apart")
    assert statuses == [2, 2]
    assert "is not one folder that every host sees" in said
