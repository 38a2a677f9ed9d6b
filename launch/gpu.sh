#!/usr/bin/env bash
# One machine, with one GPU or several: ONE process, which uses all GPUs it sees.
#
#   launch/gpu.sh [--gpus=0,1] [--tries=10] [--dry-run] -- -m adapt_jax.train \
#       --config=configs/cifar100_adapt.py --workdir=runs/cifar100
#
# --gpus      which of them, as in CUDA_VISIBLE_DEVICES; without it, all
# --tries     how often a run that was told to stop is started again, see launch/again.sh
# PYTHON      the interpreter, e.g. PYTHON=.venv/bin/python; python without it
#
# What follows -- goes to python unchanged. Several machines: the same line on each of them, with
#   --coordinator=HOST0:8476 --num_processes=N --process_id=0    (1, 2, ... on the others)
# after the rest, and a --workdir that all of them see.
set -euo pipefail
gpus='' tries=10
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=launch/common.sh
source "$here/common.sh"
parse "gpus tries" "$@"
need_arguments

command=("$here/again.sh" "--tries=$tries" -- "$PYTHON" "${arguments[@]}")
if [[ $gpus ]]; then
  command=(env "CUDA_VISIBLE_DEVICES=$gpus" "${command[@]}")
fi
become "${command[@]}"
