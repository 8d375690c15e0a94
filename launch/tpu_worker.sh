#!/usr/bin/env bash
# What tpu_vm.sh runs on every host of a slice. Each of these may be repeated at any time.
#
#   tpu_worker.sh setup BUCKET MOUNT    mounts the bucket, unpacks ~/redalign.tar.gz, installs
#   tpu_worker.sh run ARGUMENT...       runs redalign, apart from this connection, unless it runs
#                                       already; shows what it prints, exits with its status
#   tpu_worker.sh state                 running, ended STATUS, or none
set -euo pipefail

readonly GCSFUSE=3.8.0
checkout=$HOME/redalign
job=$HOME/redalign_job # its lock, held while it runs, its log and its status
mkdir -p "$job"

running() { ! flock --nonblock --shared "$job/lock" true; }

mount_bucket() { # BUCKET MOUNT
    if ! command -v gcsfuse >/dev/null; then
        local package=gcsfuse_${GCSFUSE}_amd64.deb
        curl --fail --silent --show-error --location --output "/tmp/$package" \
            "https://github.com/GoogleCloudPlatform/gcsfuse/releases/download/v$GCSFUSE/$package"
        sudo apt-get -o DPkg::Lock::Timeout=600 install --yes --quiet "/tmp/$package"
    fi
    mountpoint --quiet "$2" && return
    sudo mkdir -p "$2"
    sudo chown "$(id -u):$(id -g)" "$2"
    # No caches: what one host writes, the others see at once. Checkpoints are finished by renaming
    # their folder, which a bucket without folders of its own does object by object.
    gcsfuse --implicit-dirs --rename-dir-limit=100000 --metadata-cache-ttl-secs=0 \
        --metadata-cache-negative-ttl-secs=0 "$1" "$2"
}

find_python() { # prints a Python of 3.11 or newer, installed if need be
    local candidate
    for candidate in python3 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    python3 -m pip install --quiet --user uv >&2
    python3 -m uv python install --quiet 3.12 >&2
    python3 -m uv python find 3.12
}

setup() { # BUCKET MOUNT
    if running; then
        echo "the job runs here; nothing is changed"
        return
    fi
    mount_bucket "$@"
    mkdir -p "$checkout"
    # Files of an earlier commit go, what was installed stays.
    find "$checkout" -mindepth 1 -maxdepth 1 ! -name .venv -exec rm -rf {} +
    tar -xzf "$HOME/redalign.tar.gz" -C "$checkout"
    PYTHON=$(find_python) REDALIGN_JAX=tpu bash -c 'source "$0/launch/setup.sh"; install ""' "$checkout"
}

run() {
    local lines=20
    exec 9>"$job/lock"
    if ! running && flock --timeout 5 9; then
        lines=+1
        rm -f "$job/status" "$job/pid"
        : >"$job/log"
        # It inherits the lock. A SIGTERM, as of a host that shuts down, is for redalign alone.
        # shellcheck disable=SC2016
        setsid bash -c 'echo $$ >"$1/pid"; cd "$0" || exit; trap : TERM; ended=0
            .venv/bin/python -m redalign_jax "${@:2}" || ended=$?
            echo "$ended" >"$1/status"' "$checkout" "$job" "$@" >"$job/log" 2>&1 </dev/null &
    fi
    exec 9>&-
    until [ -s "$job/pid" ]; do sleep 0.1; done
    tail -n "$lines" -f -s 0.2 --pid="$(cat "$job/pid")" "$job/log"
    exit "$(cat "$job/status" 2>/dev/null || echo 1)"
}

state() {
    if running; then
        echo running
    elif [ -e "$job/lock" ] && [ -s "$job/log" ]; then
        echo "ended $(cat "$job/status" 2>/dev/null || echo 1)"
    else
        echo none
    fi
}

"$@"
