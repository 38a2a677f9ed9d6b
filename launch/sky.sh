#!/usr/bin/env bash
# SkyPilot: a managed job on GPUs of whichever cloud has them, started again when they are taken.
#
#   launch/sky.sh --bucket=gs://NAME --gpus=H100:8 --num-nodes=2 --use-spot -- -m adapt_jax.train \
#       --config=configs/cifar100_adapt.py --workdir=/data/runs/cifar100
#
# --bucket    mounted at /data on every machine: workdir and data belong there
# --dry-run   shows the command and runs nothing
# Every other option goes to `sky jobs launch` as it is (write --name=value); what follows -- goes
# to python unchanged. SkyPilot replaces machines that are gone; codes 75 and 143 are started again
# on the same ones by launch/again.sh; every other code ends the job. For TPUs: launch/tpu_pod.sh.
set -euo pipefail
bucket=''
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=launch/common.sh
source "$here/common.sh"
ours=() theirs=()
while (($#)) && [[ $1 != -- ]]; do
  case $1 in
    --bucket=* | --dry-run | --help) ours+=("$1") ;;
    *) theirs+=("$1") ;;
  esac
  shift
done
parse "bucket" "${ours[@]}" "$@"
need_arguments
[[ $bucket ]] || fail "--bucket=gs://NAME is needed: a job that moves keeps nothing else"
[[ $bucket =~ ^[a-z0-9]+://[A-Za-z0-9._/-]+$ ]] || fail "--bucket=gs://NAME, got $bucket"

cd "$here/.." # what is copied to the machines
become sky jobs launch "${theirs[@]}" --env "BUCKET=$bucket" \
  --env "ADAPT_JAX_COMMAND=$(quoted "${arguments[@]}")" launch/sky.yaml
