#!/usr/bin/env bash
# Installs what the tests need, then lint and the fast tests; --all runs every test and simulation.
# They run side by side, a file at a time, on 4 cores at most. Other arguments go to pytest alone.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
install "[test]"
arguments=() tier=()
for argument in "$@"; do
    if [ "$argument" = --all ]; then
        tier=(-m "")
        continue
    fi
    [ -e "${argument%%::*}" ] && argument=$PWD/$argument # files are the user's, wherever that is
    arguments+=("$argument")
done
if [ ${#arguments[@]} = 0 ]; then
    cores=$(nproc 2>/dev/null || echo 2)
    # what a file shares is made once; xdist can wait for ever for what replaces a crashed worker
    tier+=(-n $((cores < 4 ? cores : 4)) --dist loadfile --max-worker-restart=0)
fi
cd "$root"
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/python -m pytest ${tier[@]+"${tier[@]}"} ${arguments[@]+"${arguments[@]}"}
