#!/usr/bin/env bash
# From a bare machine to the redundancy curve: installs, then runs the synthetic sweep and a real
# pair of views. Results: runs/quickstart/{redundancy,mfeat}.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
install ""
out=${1:-runs/quickstart}

echo "Synthetic task, redundancy 0 to 8 shared bits"
.venv/bin/python -m redalign_jax --job=sweep --config=configs/redundancy.py \
    --workdir="$out/redundancy"
echo
echo "Two real views of handwritten digits, 100 labels"
.venv/bin/python -m redalign_jax --job=sweep --config=configs/mfeat.py \
    --config.data.modalities=kar,mor --workdir="$out/mfeat"
