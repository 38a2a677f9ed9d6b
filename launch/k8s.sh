#!/usr/bin/env bash
# Kubernetes with JobSet: one pod per machine, each with all its GPUs or TPU chips.
#
#   launch/k8s.sh --name=cifar100 --image=REGISTRY/adapt_jax:TAG --claim=PVC --hosts=2 \
#       --chips=nvidia.com/gpu:8 -- -m adapt_jax.train \
#       --config=configs/cifar100_adapt.py --workdir=/data/runs/cifar100
#
# --name      of the JobSet: lower-case letters, digits, hyphens
# --image     with this repository as its working directory, see docs/launch.md
# --claim     a PersistentVolumeClaim that all pods can write, mounted at /data
# --hosts     machines (1)
# --chips     RESOURCE:COUNT of each machine (nvidia.com/gpu:1); TPU: google.com/tpu:4
# --select    node labels, KEY=VALUE,...; TPU: cloud.google.com/gke-tpu-accelerator=tpu-v6e-slice,
#             cloud.google.com/gke-tpu-topology=4x4; TPU7x: tpu7x and, say, 2x2x1
# --restarts  how often it may start again (10)
# --dry-run   shows the manifest (launch/jobset.yaml, filled in) and does nothing
#
# What follows -- goes to python unchanged. The cluster needs JobSet 0.6 or newer.
set -euo pipefail
name='' image='' claim='' hosts=1 chips=nvidia.com/gpu:1 select='' restarts=10
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=launch/common.sh
source "$here/common.sh"
parse "name image claim hosts chips select restarts" "$@"
need_arguments
[[ $name && $image && $claim ]] || fail "--name, --image and --claim are needed; see --help"
[[ $name =~ ^[a-z0-9]([-a-z0-9]*[a-z0-9])?$ ]] || fail "--name=$name: see --help"
[[ $chips =~ ^[A-Za-z0-9./_-]+:[0-9]+$ ]] || fail "--chips=RESOURCE:COUNT, e.g. nvidia.com/gpu:8"
[[ $hosts.$restarts =~ ^[0-9]+\.[0-9]+$ ]] || fail "--hosts and --restarts are whole numbers"
[[ $image$claim$select != *__* ]] || fail "--image, --claim and --select cannot contain __"
[[ $image$claim$select${arguments[*]} != *[[:cntrl:]]* ]] || fail "an argument has a line break"
# A YAML string; Kubernetes would expand $(NAME) in arguments, and reads $$ as $.
yaml() { printf "'%s'" "${1//"'"/"''"}"; }
list=''
for word in "${arguments[@]}"; do list+="${list:+, }$(yaml "${word//'$'/'$$'}")"; done
labels=''
IFS=, read -ra pairs <<<"$select"
for p in "${pairs[@]}"; do labels+="${labels:+, }$(yaml "${p%%=*}"): $(yaml "${p#*=}")"; done
annotations=''
if [[ $chips == google.com/tpu:* ]]; then # all pods on one slice
  annotations='alpha.jobset.sigs.k8s.io/exclusive-topology: cloud.google.com/gke-nodepool'
fi

manifest=$(<"$here/jobset.yaml")
fill() { manifest=${manifest//"__$1__"/"$2"}; }
fill NAME "$name"
fill IMAGE "$(yaml "$image")"
fill CLAIM "$(yaml "$claim")"
fill HOSTS "$hosts"
fill CHIPS "${chips%:*}: ${chips##*:}"
fill SELECT "{$labels}"
fill ANNOTATIONS "{$annotations}"
fill RESTARTS "$restarts"
fill ARGUMENTS "[$list]" # last: nothing in it is a placeholder
if [[ $dry_run ]]; then
  say "kubectl create -f - <<EOF"
  printf '%s\n' "$manifest"
else
  kubectl create -f - <<<"$manifest"
fi
