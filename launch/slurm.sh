#!/usr/bin/env bash
# A job on the GPUs of a Slurm cluster, one process per GPU. From the checkout, installed before with
# `source launch/setup.sh; REDALIGN_JAX=cuda13 install ""` or the like:
#
#   sbatch --nodes=4 --gpus-per-node=8 --ntasks-per-node=8 launch/slurm.sh \
#       --config=configs/redundancy.py --workdir=/shared/runs/redundancy
#
# Arguments go to redalign; options of sbatch stand before the script and win over those below. Five
# minutes before the time limit every process is told to save, and the job goes back to the queue.
# On nodes without GPUs: --gpus-per-node=0 --ntasks-per-node=1 --exclusive. See docs/clusters.md.
#SBATCH --job-name=redalign
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=1
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=redalign-%j.log
set -euo pipefail

readonly SAVED=75

die() {
    echo "slurm.sh: $1" >&2
    exit 2
}

[ -n "${SLURM_JOB_ID:-}" ] || die "is submitted, not run: sbatch launch/slurm.sh ..."
cd "${SLURM_SUBMIT_DIR:?}"
[ -x .venv/bin/python ] || die "$PWD/.venv is missing: submit from the checkout, after installing"
case " $* " in
    *" --workdir="*) ;;
    *) die "--workdir=DIR is needed, a folder that all nodes see" ;;
esac

# Without B:, --signal reaches the processes themselves. A SIGTERM for srun, which B: and a trap
# would have to send, makes it kill them.
# JAX gives each process the GPU of its number on the node, so every process has to see them all.
# srun does not take --cpus-per-task over from sbatch.
status=0
srun --kill-on-bad-exit=0 --gpu-bind=none ${SLURM_CPUS_PER_TASK:+--cpus-per-task="$SLURM_CPUS_PER_TASK"} \
    .venv/bin/python -m redalign_jax --distributed "$@" || status=$?

# Only a job that still runs goes back to the queue: one that was cancelled must not, and one that was
# preempted is put there by Slurm.
if [ "$status" -eq "$SAVED" ] &&
    [ "$(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%T)" = RUNNING ]; then
    echo "slurm.sh: saved; job $SLURM_JOB_ID goes back to the queue"
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
