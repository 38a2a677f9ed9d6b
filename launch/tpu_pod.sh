#!/usr/bin/env bash
# A TPU slice in Google Cloud, from your own machine: asked for, set up and used on all its hosts.
#
#   launch/tpu_pod.sh create NAME --zone=ZONE -- --accelerator-type=v5litepod-16 \
#       --runtime-version=v2-alpha-tpuv5-lite --spot
#   launch/tpu_pod.sh state  NAME --zone=ZONE       # go on when it says ACTIVE
#   launch/tpu_pod.sh setup  NAME --zone=ZONE [--bucket=BUCKET] [--from=URL] [--ref=HEAD]
#   launch/tpu_pod.sh run    NAME --zone=ZONE [--tries=10] -- -m adapt_jax.train \
#       --config=configs/cifar100_adapt.py --workdir=~/bucket/runs/cifar100
#   launch/tpu_pod.sh logs|stop|delete NAME --zone=ZONE
#
# --dry-run   shows the commands and runs none
# --from      a git URL that the hosts can read; without it, what this checkout has committed
# --ref       HEAD, a branch or a tag of it
# --bucket    mounted at ~/bucket on every host
#
# What follows -- goes to python unchanged (run), or to gcloud (the others). The run outlives the
# connection; every host logs to ~/adapt_jax.log. `stop` saves. A pre-empted slice is deleted,
# created, set up and run again: the run resumes from the bucket. Not TPU7x: see docs/launch.md.
set -euo pipefail
zone='' bucket='' from='' ref=HEAD tries=10
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=launch/common.sh
source "$here/common.sh"
action=${1:-} name=${2:-}
[[ $action != --help ]] || parse '' --help
[[ $name && $name != -* ]] || fail "launch/tpu_pod.sh ACTION NAME --zone=ZONE; see --help"
parse "zone bucket from ref tries" "${@:3}"
[[ $zone ]] || fail "--zone=ZONE is needed, e.g. --zone=us-west4-a"
[[ "$action ${arguments[*]}" != create*=tpu7x* ]] ||
  fail "the Cloud TPU API does not serve TPU7x: GKE does (launch/k8s.sh), and Compute Engine"

tpus() { run gcloud compute tpus "$@" "--zone=$zone"; }
on_all() { tpus tpu-vm ssh "$name" --worker=all "--command=$1" "${arguments[@]}"; }

case $action in
  create) tpus queued-resources create "$name" "--node-id=$name" "${arguments[@]}" ;;
  state) tpus queued-resources describe "$name" '--format=value(state.state)' ;;
  setup)
    if [[ ! $from ]]; then
      bundle=${TMPDIR:-/tmp}/adapt_jax.bundle
      run git -C "$here/.." bundle create "$bundle" "$ref"
      tpus tpu-vm scp "$bundle" "$name:adapt_jax.bundle" --worker=all
      from=../adapt_jax.bundle
    fi
    on_all "set -e; git init -q adapt_jax; cd adapt_jax; git fetch -q $(quoted "$from" "$ref"); \
git checkout -qf --detach FETCH_HEAD; $(quoted launch/tpu_setup.sh "--bucket=$bucket")"
    ;;
  run)
    need_arguments
    command=(launch/tpu_vm.sh "--tries=$tries" -- "${arguments[@]}")
    arguments=()
    on_all "cd adapt_jax || exit; PYTHON=.venv/bin/python setsid nohup $(quoted "${command[@]}") \
>> ~/adapt_jax.log 2>&1 < /dev/null & echo \$! > ~/adapt_jax.pid"
    ;;
  logs) on_all 'hostname; tail -n 20 ~/adapt_jax.log' ;;
  stop) on_all "kill -TERM \$(cat ~/adapt_jax.pid)" ;;
  delete) tpus queued-resources delete "$name" --force "${arguments[@]}" ;;
  *) fail "there is no action $action; see --help" ;;
esac
