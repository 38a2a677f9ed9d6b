#!/usr/bin/env bash
# A trace of a few training steps, and no more training than that takes.
#
#   launch/profile.sh [--steps=20:25] [--dry-run] -- -m adapt_jax.train \
#       --config=configs/cifar100_adapt.py --workdir=runs/profile
#
# --steps     START:STOP, the steps traced; the run ends at STOP and evaluates nothing
#
# Use a workdir of its own: this run is a shorter one. WORKDIR/profile has the trace and a page that
# sums it up, summary.txt; docs/profiling.md reads one. To see all of it:
#   pip install xprof && xprof --logdir=WORKDIR/profile --port=8791
# or open the *.trace.json.gz in https://ui.perfetto.dev. Compilation is over before step 1.
set -euo pipefail
steps=20:25
# shellcheck source=launch/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse "steps" "$@"
need_arguments
[[ $steps =~ ^[0-9]+:[0-9]+$ ]] || fail "--steps=START:STOP, for example 20:25"

become "$PYTHON" "${arguments[@]}" \
  "--config.profile=$steps" "--config.total_steps=${steps#*:}" --config.ood=
