#!/usr/bin/env bash
# Installs what the tests need, then lint and tests. Arguments go to pytest; `-m calibration` for the simulations.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
install "[test]"
arguments=()
for argument in "$@"; do # files are the user's, wherever that is
    [ -e "${argument%%::*}" ] && argument=$PWD/$argument
    arguments+=("$argument")
done
cd "$root"
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/python -m pytest ${arguments[@]+"${arguments[@]}"}
