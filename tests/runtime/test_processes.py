"""Several processes are one machine: the same table, whoever trained which run."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from jax.experimental import multihost_utils

from redalign_jax.runtime import coordination, processes

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def lives(tmp_path_factory):
    """Runs `joined.py` and returns exit statuses and what was said."""
    cache = tmp_path_factory.mktemp("cache")

    def run(folder, processes, devices, *how):
        done = subprocess.run(
            [sys.executable, "-m", "helpers.joined", folder, str(processes), str(devices), *how],
            env={
                **os.environ,
                "PYTHONPATH": f"{TESTS}:{TESTS.parent}",
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


def test_two_processes_are_one_and_collectives_wait_for_nobody(lives, alone, tmp_path):
    """On CPUs a collective fails after 30 s, so a process that is late is waited for before it."""
    statuses, said = lives(tmp_path, 2, 2, "late", "8")
    assert statuses == [0, 0]
    times = [float(t) for t in re.findall(r"^collective (.*)$", said, re.MULTILINE)]
    assert len(times) > 9
    assert max(times) < 7
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


def test_eight_processes_lose_one_and_half_as_many_devices_go_on(lives, alone, tmp_path):
    """What was finished keeps its numbers; what was not is trained on other devices."""
    out = tmp_path / "out"
    statuses, said = lives(out, 8, 1, "error", "13")  # segments of a block: 10
    assert_ended(tmp_path)
    assert statuses == [1] * 8
    line = r"^redalign_jax: process 7 on .*: ValueError: the last process has a bug$"
    assert len(re.findall(line, said, re.MULTILINE)) == 8
    done = pd.read_parquet(out / "blocks" / "000000.results.parquet")
    statuses, said = lives(out, 2, 2)
    assert statuses == [0] * 2
    assert "the results will not be bit-identical" in said
    tables = [pd.read_parquet(folder / "results.parquet") for folder in (out, alone)]
    assert len(tables[0]) == len(tables[1])
    kept = tables[0].merge(done.drop(columns="place"))
    assert 0 < len(done) == len(kept) < len(tables[0])


def test_hosts_that_do_not_share_a_folder_are_told(lives, tmp_path):
    statuses, said = lives(tmp_path, 2, 1, "apart")
    assert statuses == [2, 2]
    assert "is not one folder that every host sees" in said


def assert_ended(folder, since=60):
    happened = float((folder / "happened").read_text())
    assert time.time() - happened < since


@pytest.mark.parametrize(
    ("how", "where"), [("error", "first"), ("error", "load"), ("error", "3"), ("inside", "first")]
)
def test_an_error_on_one_ends_all_and_all_say_whose_it_was(lives, tmp_path, how, where):
    """Before and between collectives (`error`), or while the others are inside one."""
    statuses, said = lives(tmp_path / "out", 2, 2, how, where)
    assert_ended(tmp_path)
    assert statuses == [1, 1]
    line = r"^redalign_jax: process 1 on .*: ValueError: the last process has a bug$"
    assert len(re.findall(line, said, re.MULTILINE)) == 2
    assert said.count("Traceback") == 1  # where the bug is, and there only


def test_a_process_that_is_killed_ends_all(lives, tmp_path):
    statuses, said = lives(tmp_path / "out", 3, 1, "kill", "first")
    assert_ended(tmp_path)
    assert statuses[2] == -signal.SIGKILL
    assert 0 not in statuses
    assert "process 2 has vanished" in said or "stopped sending heartbeats):\n2\n" in said


def test_the_first_process_that_is_killed_ends_all(lives, tmp_path):
    """It hosts JAX's service: whoever notices first, JAX or this project, says so."""
    statuses, said = lives(tmp_path / "out", 2, 1, "behead", "first")
    assert_ended(tmp_path)
    assert statuses[0] == -signal.SIGKILL
    assert statuses[1] != 0
    assert "process 0 has vanished" in said or "leader task was preempted/died" in said


def start(folders, *flags):
    """A process of one job in every folder."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    environment = {"PYTHONPATH": f"{TESTS}:{TESTS.parent}", "JAX_PLATFORMS": "cpu"}
    return [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "redalign_jax", f"--coordinator={address}"),
                *(f"--processes={len(folders)}", f"--process={i}", *flags),
            ],
            cwd=folder,
            env=os.environ | environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i, folder in enumerate(folders)
    ]


@pytest.mark.parametrize("lacks", ["config.py", "pairs.npz"])
def test_a_file_that_one_process_lacks_is_named_by_all(tmp_path, lacks):
    folders = [tmp_path / "a", tmp_path / "b"]
    rng = np.random.default_rng(0)
    pairs = {"one": rng.normal(size=(300, 3)), "two": rng.normal(size=(300, 3))}
    for folder in folders:
        folder.mkdir()
        shutil.copy(TESTS.parent / "configs" / "arrays.py", folder / "config.py")
        np.savez(folder / "pairs.npz", labels=np.arange(300) % 2, **pairs)
    (folders[1] / lacks).unlink()
    flags = ("--config=config.py", "--config.data.path=pairs.npz", f"--workdir={tmp_path / 'out'}")
    job = start(folders, *flags)
    said = [process.communicate(timeout=300)[1] for process in job]
    assert [process.returncode for process in job] == [2, 2]
    for text in said:
        assert re.search(rf"^redalign_jax: process 1 on .*{lacks}", text, re.MULTILINE), text
        assert "Traceback" not in text


def test_the_verdict_names_who_is_at_fault():
    bug = {"line": "on b: ValueError: x", "status": 1, "sure": True}
    mistake = {"line": "on c: data.path: no such file", "status": 2, "sure": True}
    lost = {"line": "on a: JaxRuntimeError: connection closed by peer", "status": 1, "sure": False}
    verdict = coordination.verdict
    assert verdict(0, {1: bug}, set()) == ([f"process 1 {bug['line']}"], 1)
    assert verdict(1, {1: bug}, set()) == ([], 1)  # it has said so already
    assert verdict(0, {0: lost, 2: mistake}, set()) == ([f"process 2 {mistake['line']}"], 2)
    gone = ["process 2 has vanished: killed, or its host is lost"]
    assert verdict(0, {0: lost}, {2}) == (gone, 1)
    assert verdict(0, {0: lost}, set()) == ([f"process 0 {lost['line']}"], 1)
    assert verdict(1, {0: lost}, set()) == ([f"process 0 {lost['line']}"], 1)
    assert verdict(1, {1: bug}, {2}) == (gone, 1)


def test_the_least_of_numbers_above_32_bits(monkeypatch):
    """Memory in bytes is one."""
    values = np.array([80 * 2**30, 79 * 2**30 + 1, -1], np.int64)

    def gathered(mine):
        assert jnp.asarray(mine).nbytes == mine.nbytes == 8  # arrives whole where JAX has 32 bits
        return np.stack([v[None].view(np.uint8) for v in values])

    monkeypatch.setattr(jax, "process_count", lambda: 3)
    monkeypatch.setattr(multihost_utils, "process_allgather", gathered)
    assert processes.least(values[0]) == -1
    values[2] = 2**40
    assert processes.least(values[0]) == 79 * 2**30 + 1
