"""The launch scripts, with everything they call played by small scripts on PATH.

The TPU hosts are folders: what `gcloud` would run on them runs here, with the folder as its home.
"""

import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

LAUNCH = Path(__file__).parents[1] / "launch"
HOSTS = 2
FLAGS = [
    "--name=my-run",
    "--zone=us-east5-b",
    "--accelerator_type=v6e-16",
    "--runtime_version=v2-alpha-tpuv6e",
    "--bucket=my-bucket",
]
ARGUMENTS = ["--config=configs/a b.py", '--config.data.path=it\'s "here" $HOME', "--config.c=(0,1)"]

GCLOUD = rf"""#!{sys.executable}
# Plays gcloud. $WORLD/state is the slice's state, if there is one; $WORLD/created has the state of
# each slice to come; $WORLD/trouble one word per job: the slice is "preempted" or "unreachable".
import os, pathlib, shutil, subprocess, sys
world = pathlib.Path(os.environ["WORLD"])
arguments = sys.argv[1:]
with (world / "calls").open("a") as calls:
    calls.write("\0".join(arguments) + "\n\0\n")
state = world / "state"

def pop(name):
    words = (world / name).read_text().split() if (world / name).exists() else []
    (world / name).write_text(" ".join(words[1:]))
    return words[0] if words else ""

verb = next(a for a in arguments if a in
            ("list", "create", "delete", "scp", "ssh", "rsync"))
option = dict(a.split("=", 1) for a in arguments if a.startswith("--") and "=" in a)
hosts = sorted(world.glob("host*"))
if verb == "list":
    if state.exists():
        print(state.read_text())
        if state.read_text() == "PROVISIONING":
            state.write_text("ACTIVE")
elif verb == "create":
    assert not state.exists()
    state.write_text(pop("created") or "PROVISIONING")
    for host in hosts:
        shutil.rmtree(host)
        host.mkdir()
elif verb == "delete":
    state.unlink()
elif verb == "rsync":
    shutil.copytree(world / "bucket" / "my-run", arguments[-1], dirs_exist_ok=True)
else:
    assert state.read_text() == "ACTIVE", state.read_text()
    if verb == "scp":
        *sources, target = [a for a in arguments[4:] if not a.startswith("--")]
        assert target == "my-run:" and option["--worker"] == "all"
        for host in hosts:
            for source in sources:
                shutil.copy(source, host)
    else:
        trouble = pop("trouble") if " run " in option["--command"] else ""
        if trouble == "preempted":
            state.write_text("SUSPENDED")
        if trouble:
            sys.exit(255)
        if option["--worker"] != "all":
            hosts = [hosts[int(option["--worker"])]]
        running = [
            subprocess.Popen(["bash", "-c", option["--command"]], cwd=host,
                             env=os.environ | {{"HOME": str(host)}})
            for host in hosts
        ]
        statuses = [job.wait() for job in running]
        sys.exit(next((s for s in statuses if s), 0))
"""

# Plays every Python: $WORLD/statuses has the exit status of each job to come, "slow" waits for
# $WORLD/go and ends with 75.
PYTHON = r"""#!/usr/bin/env bash
case "$*" in
    *"-m venv"*) mkdir -p "${@: -1}/bin" && cp "$0" "${@: -1}/bin/python" ;;
    *"-m pip"*) printf '%s\n' "$*" >>"$HOME/installed" ;;
    "-m redalign_jax"*)
        shift 2
        printf '%s\0' "$@" >>"$HOME/jobs"
        printf '\n' >>"$HOME/jobs"
        pwd >>"$HOME/where"
        job=$(wc -l <"$HOME/jobs")
        status=$(cut -d' ' -f"$job" "$WORLD/statuses")
        echo "host says $status"
        if [ "$status" = slow ]; then
            until [ -e "$WORLD/go" ]; do sleep 0.05; done
            status=75
        fi
        mkdir -p "$WORLD/bucket/my-run" && echo "$status" >"$WORLD/bucket/my-run/results.csv"
        exit "$status"
        ;;
esac
"""


def play(folder, **scripts):
    folder.mkdir(exist_ok=True)
    for name, text in scripts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)


@pytest.fixture
def world(tmp_path):
    """A checkout, in a folder with a space in its name, and a cloud."""
    checkout = tmp_path / "my checkout"
    (checkout / "configs").mkdir(parents=True)
    shutil.copytree(LAUNCH, checkout / "launch")
    (checkout / "configs" / "a b.py").write_text("tracked")
    for name in ("requirements.txt", "pyproject.toml", ".gitignore"):
        shutil.copy(LAUNCH.parent / name, checkout)
    git = ["git", "-C", checkout, "-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "all"], check=True)
    (checkout / "secret").write_text("untracked")
    for host in range(HOSTS):
        (tmp_path / f"host{host}").mkdir()
    (tmp_path / "statuses").write_text("0 0 0 0 0")
    done = "#!/bin/sh\nexit 0\n"
    play(
        tmp_path / "bin",
        gcloud=GCLOUD,
        python3=PYTHON,
        sudo=done,
        gcsfuse='#!/bin/sh\necho "$*" >>"$HOME/mounted"\n',
        mountpoint="#!/bin/sh\nexit 1\n",
    )
    return tmp_path


def environment(world, **more):
    return (
        os.environ | {"WORLD": str(world), "PATH": f"{world / 'bin'}:{os.environ['PATH']}"} | more
    )


def tpu_vm(world, *flags, arguments=ARGUMENTS):
    return subprocess.run(
        ["bash", world / "my checkout" / "launch" / "tpu_vm.sh", *flags, "--", *arguments],
        cwd=world,
        env=environment(world),
        capture_output=True,
        text=True,
        timeout=120,
    )


def calls(world):
    """What gcloud was told: the verb of every call, those that only look left out."""
    said = (world / "calls").read_text().split("\n\0\n")[:-1]
    told = [call.split("\0") for call in said]
    verbs = ("create", "delete", "scp", "ssh", "rsync")
    found = []
    for call in told:
        for verb in verbs:
            if verb in call:
                command = next((a for a in call if a.startswith("--command=")), "")
                found.append(f"ssh {shlex.split(command[10:])[2]}" if verb == "ssh" else verb)
    return found


def jobs(world, host):
    text = (world / f"host{host}" / "jobs").read_text()
    return [line.rstrip("\0").split("\0") for line in text.splitlines()]


ROUND = ["scp", "ssh setup", "ssh run"]
END = ["rsync", "delete"]
TOLD = ["--distributed", "--workdir=/mnt/bucket/my-run", *ARGUMENTS]


def test_dry_run_prints_every_command_and_runs_none(world):
    (world / "bin" / "gcloud").unlink()
    done = tpu_vm(world, *FLAGS, "--spot", "--dry_run")
    assert done.returncode == 0, done.stderr
    lines = re.sub(r"[^ =]*/tmp\.\w+/", "TMP/", done.stdout).splitlines()
    words = [shlex.split(line) for line in lines]
    checkout = str(world / "my checkout")
    tpus, where = ["gcloud", "compute", "tpus"], ["--zone=us-east5-b"]
    look = [
        *(*tpus, "queued-resources", "list", "--filter=name~/queuedResources/my-run$"),
        *("--format=value(state.state)", *where, "--quiet"),
    ]
    ssh = [*tpus, "tpu-vm", "ssh", "my-run", *where, "--worker=all", "--quiet"]
    told = words[7].pop()
    assert shlex.split(told.removeprefix("--command=")) == ["bash", "tpu_worker.sh", "run", *TOLD]
    assert words == [
        look,
        [
            *(*tpus, "queued-resources", "create", "my-run", "--node-id=my-run"),
            *("--accelerator-type=v6e-16", "--runtime-version=v2-alpha-tpuv6e"),
            "--scopes=https://www.googleapis.com/auth/cloud-platform",
            *("--spot", *where, "--quiet"),
        ],
        look,
        [
            *("git", "-C", checkout, "archive", "--format=tar.gz"),
            *("--output=TMP/redalign.tar.gz", "HEAD"),
        ],
        ["cp", f"{checkout}/launch/tpu_worker.sh", "TMP/tpu_worker.sh"],
        [
            *(*tpus, "tpu-vm", "scp", "TMP/redalign.tar.gz", "TMP/tpu_worker.sh", "my-run:"),
            *(*where, "--worker=all", "--quiet"),
        ],
        [*ssh, "--command=bash tpu_worker.sh setup my-bucket /mnt/bucket"],
        ssh,
        ["mkdir", "-p", "runs/my-run"],
        [
            *("gcloud", "storage", "rsync", "--recursive", "--exclude=^checkpoints/.*"),
            *("gs://my-bucket/my-run", "runs/my-run"),
        ],
        [*tpus, "queued-resources", "delete", "my-run", "--force", *where, "--quiet"],
    ]
    assert not (world / "runs").exists()


def test_from_nothing_to_results(world):
    done = tpu_vm(world, *FLAGS, "--poll=0")
    assert done.returncode == 0, done.stderr
    assert calls(world) == ["create", *ROUND, *END]
    assert not (world / "state").exists()
    assert "host says 0" in done.stdout
    assert (world / "runs" / "my-run" / "results.csv").read_text() == "0\n"  # where the user stands
    for host in range(HOSTS):
        assert jobs(world, host) == [TOLD]
        home = world / f"host{host}"
        assert (home / "redalign" / "configs" / "a b.py").read_text() == "tracked"
        assert not (home / "redalign" / "secret").exists()
        assert "jax[tpu]" in (home / "installed").read_text()
        assert (home / "mounted").read_text().endswith("my-bucket /mnt/bucket\n")


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("ACTIVE", [*ROUND, *END]),
        ("SUSPENDED", ["delete", "create", *ROUND, *END]),
        ("FAILED", ["delete", "create", *ROUND, *END]),
    ],
)
def test_a_slice_that_is_there_is_used_or_replaced(world, state, expected):
    (world / "state").write_text(state)
    done = tpu_vm(world, *FLAGS, "--poll=0")
    assert done.returncode == 0, done.stderr
    assert calls(world) == expected


def test_saved_runs_again_on_the_same_slice_with_the_commit_of_now(world):
    (world / "state").write_text("ACTIVE")
    (world / "host0" / "redalign").mkdir()
    (world / "host0" / "redalign" / "of an earlier commit.py").write_text("")
    (world / "statuses").write_text("75 75 0")
    done = tpu_vm(world, *FLAGS, "--poll=0")
    assert done.returncode == 0, done.stderr
    assert calls(world) == [*ROUND * 3, *END]
    assert jobs(world, 1) == [TOLD] * 3
    assert not (world / "host0" / "redalign" / "of an earlier commit.py").exists()


def test_a_preempted_slice_is_asked_for_anew_and_a_lost_connection_tried_again(world):
    (world / "trouble").write_text("preempted unreachable")
    done = tpu_vm(world, *FLAGS, "--poll=0")
    assert done.returncode == 0, done.stderr
    again = ["ssh state", *ROUND]  # the job is not running there: it is started
    assert calls(world) == ["create", *ROUND, "delete", "create", *ROUND, *again, *END]


def test_a_slice_that_never_comes_is_given_up(world):
    (world / "created").write_text("FAILED " * 9)
    done = tpu_vm(world, *FLAGS, "--poll=0")
    assert done.returncode == 1
    assert calls(world) == ["create", "delete"] * 5
    assert "failed 5 times" in done.stderr


@pytest.mark.parametrize("status", [2, 3])
def test_a_failed_job_ends_it_with_its_status_and_no_slice_left(world, status):
    (world / "statuses").write_text(str(status))
    done = tpu_vm(world, *FLAGS, "--poll=0")
    assert done.returncode == status
    assert calls(world)[-1] == "delete"
    assert calls(world).count("ssh run") == 1
    assert f"failed with status {status}; its workdir is gs://my-bucket/my-run" in done.stderr


def test_delete_only_deletes(world):
    (world / "state").write_text("ACTIVE")
    done = tpu_vm(world, "--name=my-run", "--zone=us-east5-b", "--delete", arguments=[])
    assert done.returncode == 0, done.stderr
    assert calls(world) == ["delete"]


@pytest.mark.parametrize(
    ("flags", "arguments", "message"),
    [
        (FLAGS[1:], ARGUMENTS, "--name=... is needed"),
        (FLAGS[:4], ARGUMENTS, "--bucket=... is needed"),
        ([*FLAGS, "--Name=x"], ARGUMENTS, "--Name=x is not one of its flags"),
        ([*FLAGS, "--name=A b"], ARGUMENTS, "--name=A b: lower-case"),
        ([*FLAGS, "--bucket=gs://a/b"], ARGUMENTS, "--bucket=a/b is not the name of a bucket"),
        (FLAGS, [], "nothing to run"),
        (FLAGS, ["--workdir=x"], "--workdir=x: the workdir is the folder my-run"),
        (FLAGS, ["--distributed"], "--distributed: the hosts find each other"),
    ],
)
def test_bad_use_is_one_line(world, flags, arguments, message):
    done = tpu_vm(world, *flags, arguments=arguments)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert message in done.stderr
    assert not (world / "calls").exists()


def test_a_job_outlives_the_connection_that_started_it(world):
    home = world / "host0"
    (world / "statuses").write_text("slow")
    (home / "redalign" / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(world / "bin" / "python3", home / "redalign" / ".venv" / "bin" / "python")
    worker = ["bash", LAUNCH / "tpu_worker.sh"]
    settings = {"cwd": home, "env": environment(world, HOME=str(home)), "text": True}

    def ask(*command):
        return subprocess.run([*worker, *command], capture_output=True, timeout=60, **settings)

    def start():
        return subprocess.Popen(
            [*worker, "run", "--x=1 2"],
            stdout=subprocess.PIPE,
            start_new_session=True,
            **settings,
        )

    assert ask("state").stdout == "none\n"
    first = start()
    until = time.monotonic() + 30
    while not (home / "jobs").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert ask("state").stdout == "running\n"
    os.killpg(first.pid, signal.SIGKILL)  # the connection, and all that hangs on it
    first.wait()
    os.kill(int((home / "redalign_job" / "pid").read_text()), signal.SIGTERM)  # it keeps the status
    assert ask("state").stdout == "running\n"
    assert "nothing is changed" in ask("setup", "my-bucket", str(world / "mount")).stdout
    second = start()
    time.sleep(1)
    (world / "go").write_text("")
    output, _ = second.communicate(timeout=60)
    assert second.returncode == 75
    assert "host says slow" in output
    assert jobs(world, 0) == [["--x=1 2"]]
    assert ask("state").stdout == "ended 75\n"


SRUN = r"""#!/usr/bin/env bash
printf '%s\0' "$@" >"$WORLD/srun"
exit "$(cat "$WORLD/statuses")"
"""


@pytest.mark.parametrize(
    ("status", "state", "back"),
    [(0, "RUNNING", 0), (75, "RUNNING", 1), (75, "COMPLETING", 0), (3, "RUNNING", 0)],
)
def test_slurm_requeues_what_was_saved(world, status, state, back):
    checkout = world / "my checkout"
    (checkout / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(world / "bin" / "python3", checkout / ".venv" / "bin" / "python")
    (world / "statuses").write_text(str(status))
    play(
        world / "bin",
        srun=SRUN,
        squeue=f"#!/bin/sh\necho {state}\n",
        scontrol='#!/bin/sh\necho "$*" >>"$WORLD/requeued"\n',
    )
    slurm = {"SLURM_JOB_ID": "41", "SLURM_SUBMIT_DIR": str(checkout), "SLURM_CPUS_PER_TASK": "8"}
    done = subprocess.run(
        ["bash", LAUNCH / "slurm.sh", "--workdir=/shared/my runs", *ARGUMENTS],
        env=environment(world, **slurm),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == status, done.stderr
    told = (world / "srun").read_text().split("\0")[:-1]
    place = told.index(".venv/bin/python")
    assert "--cpus-per-task=8" in told[:place]
    assert told[place:] == [
        *(".venv/bin/python", "-m", "redalign_jax", "--distributed"),
        *("--workdir=/shared/my runs", *ARGUMENTS),
    ]
    requeued = world / "requeued"
    assert (requeued.read_text() if requeued.exists() else "") == "requeue 41\n" * back


def test_slurm_refuses_in_one_line(world):
    environments = {
        "is submitted, not run": {},
        "submit from the checkout": {"SLURM_JOB_ID": "41", "SLURM_SUBMIT_DIR": str(world)},
    }
    for message, slurm in environments.items():
        done = subprocess.run(
            ["bash", LAUNCH / "slurm.sh"],
            env=environment(world, **slurm),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
        assert message in done.stderr


def from_elsewhere(world, script, *arguments):
    """Runs a script of the checkout where its user stands; returns what Python was told there."""
    stands = world / "the user's"
    stands.mkdir()
    done = subprocess.run(
        ["bash", world / "my checkout" / "launch" / script, *arguments],
        cwd=stands,
        env=environment(world, HOME=str(stands)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert (world / "my checkout" / ".venv" / "bin" / "python").exists()
    assert set((stands / "where").read_text().splitlines()) == {str(stands)}
    text = (stands / "jobs").read_text()
    return [line.rstrip("\0").split("\0") for line in text.splitlines()]


def test_relative_paths_are_where_the_user_stands(world):
    told = from_elsewhere(world, "quickstart.sh", "my out")
    configs = world / "my checkout" / "configs"
    assert [line[1:3] for line in told] == [
        [f"--config={configs / 'redundancy.py'}", "--workdir=my out/redundancy"],
        [f"--config={configs / 'mfeat.py'}", "--config.data.modalities=kar,mor"],
    ]
    assert told[1][3] == "--workdir=my out/mfeat"


def test_files_to_prepare_are_where_the_user_stands(world):
    assert from_elsewhere(world, "prepare.sh", "mosei", "--manual_dir=files") == [
        ["mosei", "--manual_dir=files"]
    ]


def test_scripts_parse_and_can_be_run():
    for script in LAUNCH.glob("*.sh"):
        subprocess.run(["bash", "-n", script], check=True)
        assert script.stat().st_mode & stat.S_IXUSR
