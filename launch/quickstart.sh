#!/usr/bin/env bash
# From a bare machine to the redundancy curve: installs, then runs the synthetic sweep and a real
# pair of views. Results: {redundancy,mfeat} in the folder named, else in runs/quickstart.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
install ""
out=${1:-runs/quickstart}

echo "Synthetic task, redundancy 0 to 8 shared bits"
"$root/.venv/bin/python" -m redalign_jax --job=sweep --config="$root/configs/redundancy.py" \
    --workdir="$out/redundancy"
echo
echo "Two real views of handwritten digits, 100 labels"
"$root/.venv/bin/python" -m redalign_jax --job=sweep --config="$root/configs/mfeat.py" \
    --config.data.modalities=kar,mor --workdir="$out/mfeat"
