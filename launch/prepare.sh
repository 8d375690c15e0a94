#!/usr/bin/env bash
# Prepares a dataset ahead of a sweep: bash launch/prepare.sh NAME [--manual_dir=DIR] [--data_dir=DIR]
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
case "${1:-}" in
av_digits) install "[speech]" ;; # a speech synthesiser
*) install "" ;;
esac
"$root/.venv/bin/python" -m redalign_jax.data "$@"
