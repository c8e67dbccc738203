#!/usr/bin/env bash
# An affectkit command on every GPU of a Slurm job, one launcher on each machine: srun bash recipes/slurm/launch.sh finetune ...
# MAIN_NODE: the machine of rank 0. Arguments: the command and its options.
set -euo pipefail
exec accelerate launch --multi_gpu --num_machines "$SLURM_NNODES" --machine_rank "$SLURM_NODEID" \
  --num_processes $((SLURM_NNODES * SLURM_GPUS_ON_NODE)) --main_process_ip "$MAIN_NODE" --main_process_port "${MAIN_PORT:-29500}" \
  -m affectkit "$@"
