#!/usr/bin/env bash
# One measurement as an array of jobs. Each does its slice and leaves it in the cache, which all nodes must share:
#
#   export SDBENCH_CACHE=/shared/sdbench
#   sdbench fetch x3d_m_kinetics400                       # once, where there is a network
#   sbatch docs/slurm_array.sh x3d_m /shared/stylized_ssv2 --stylised ssv2 --device cuda
#   sdbench merge KEY --json x3d_m.json                   # when all have ended; each job's output says the key
#
# A job that is cut off goes on behind the last part that it finished when it is submitted again.
#SBATCH --array=1-16
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-task=1
#SBATCH --requeue
set -euo pipefail
: "${SDBENCH_CACHE:?name a folder that all nodes share}"
export SDBENCH_OFFLINE=1
exec sdbench measure "$@" --slice "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT"
