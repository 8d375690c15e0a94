#!/usr/bin/env bash
# Installs what the tests need, then lint and the fast tests; --all runs every test and simulation.
# Other arguments go to pytest.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
install "[test]"
arguments=()
for argument in "$@"; do
    if [ "$argument" = --all ]; then
        arguments+=(-m "")
        continue
    fi
    [ -e "${argument%%::*}" ] && argument=$PWD/$argument # files are the user's, wherever that is
    arguments+=("$argument")
done
cd "$root"
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/python -m pytest ${arguments[@]+"${arguments[@]}"}
