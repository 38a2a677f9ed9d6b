#!/usr/bin/env bash
# On a TPU VM: this host's process of a run on its slice, whether it has one host or many.
#
#   PYTHON=.venv/bin/python launch/tpu_vm.sh [--tries=10] [--dry-run] -- -m adapt_jax.train \
#       --config=configs/cifar100_adapt.py --workdir=$HOME/bucket/runs/cifar100
#
# A slice of several hosts needs this line on all of them at about the same time, which is what
# launch/tpu_pod.sh does. The VM's metadata server says which of them this one is. One slice only.
set -euo pipefail
tries=10
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=launch/common.sh
source "$here/common.sh"
parse "tries" "$@"
need_arguments

attribute() {
  curl --silent --fail --max-time 10 --header 'Metadata-Flavor: Google' \
    "http://metadata.google.internal/computeMetadata/v1/instance/attributes/$1"
}

command=("$here/again.sh" "--tries=$tries" -- "$PYTHON" "${arguments[@]}")
if hosts=$(attribute worker-network-endpoints); then
  commas=${hosts//[!,]/}
  first=${hosts%%,*} # a host name, or name:id:address
  command=(
    env
    "ADAPT_JAX_COORDINATOR=${first##*:}:8476"
    "ADAPT_JAX_NUM_PROCESSES=$((${#commas} + 1))"
    "ADAPT_JAX_PROCESS_ID=$(attribute agent-worker-number)"
    "${command[@]}"
  )
elif [[ $dry_run ]]; then
  say "not on a TPU VM; as on a slice of one host:"
else
  fail "no answer from the metadata server; is this a TPU VM?"
fi
become "${command[@]}"
