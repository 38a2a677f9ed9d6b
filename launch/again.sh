#!/usr/bin/env bash
# Runs a command, and runs it again while its exit code asks for that: a bounded number of times.
#
#   launch/again.sh [--tries=10] [--pause=10] [--dry-run] -- python -m adapt_jax.train ...
#
# Codes that mean "the same command goes on where this one stopped": 143, told to stop, and saved;
# 75, another process of the run is gone; 134, the runtime aborted this one for that reason. With
# every other code this ends at once: 0 done, 1 failed, 2 wrong input, 130 Ctrl-C.
#
# SIGTERM and Ctrl-C are passed on to the command, and then nothing is started again: whoever takes
# the machine away is the one who starts the next.
set -euo pipefail
tries=10 pause=10
# shellcheck source=launch/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse "tries pause" "$@"
need_arguments
if [[ $dry_run ]]; then
  quoted "${arguments[@]}"
  exit
fi

child='' stopping=''
pass_on() {
  stopping=yes
  [[ ! $child ]] || kill -s "$1" -- "$child" 2>/dev/null || true
}
trap 'pass_on TERM' TERM HUP
trap 'pass_on INT' INT
set -m # a process group of its own: Ctrl-C reaches the command once, through us

for ((try = 1; ; try++)); do
  "${arguments[@]}" &
  child=$!
  code=0
  wait "$child" || code=$?
  while kill -0 "$child" 2>/dev/null; do # a signal to us ends `wait`, not the command
    code=0
    wait "$child" || code=$?
  done
  child=''
  case $code in
    75 | 134 | 143) [[ ! $stopping ]] || exit "$code" ;;
    *) exit "$code" ;;
  esac
  if ((try >= tries)); then
    say "exit code $code, after $try tries: giving up"
    exit "$code"
  fi
  say "exit code $code: try $((try + 1)) of $tries in $pause s"
  sleep "$pause" &
  wait $! || true
  [[ ! $stopping ]] || exit "$code"
done
