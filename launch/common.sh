# Shared by the launchers: options, quoting and --dry-run. Sourced, not run.
#
# A launcher's header is its --help, and the variables it sets before `parse` are its options.
# shellcheck shell=bash disable=SC2034  # dry_run and arguments are read by the launchers

PYTHON=${PYTHON:-python}

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
fail() { say "error: $*" && exit 2; }

((BASH_VERSINFO[0] * 10 + BASH_VERSINFO[1] >= 44)) ||
  fail "bash 4.4 or newer is needed, this is $BASH_VERSION (macOS: brew install bash)"

# The options named in $1 from the other arguments: --name=value into the variable `name`,
# --dry-run into `dry_run`, and what follows -- into the array `arguments`.
parse() {
  local known=" $1 " given option
  shift
  dry_run='' arguments=()
  while (($#)); do
    given=$1 option=${1%%=*}
    shift
    case $given in
      --help) sed -n '/^# /,${/^[^#]/q; s/^# \{0,1\}//p;}' "$0" && exit ;;
      --dry-run) dry_run=yes ;;
      --) arguments=("$@") && return ;;
      --*=*)
        [[ $known == *" ${option#--} "* ]] || fail "there is no option $option; see --help"
        printf -v "${option#--}" %s "${given#*=}"
        ;;
      *) fail "unexpected $given: options are --name=value, what python gets comes after --" ;;
    esac
  done
}

need_arguments() {
  ((${#arguments[@]})) || fail "nothing to run; it comes after --, e.g. -- -m adapt_jax.train ..."
}

# Words as one line that a shell reads back as exactly these words.
quoted() {
  local word line='' quote="'" escaped="'\\''"
  for word; do
    case $word in
      '' | *[!A-Za-z0-9_./:=,@%+-]*) word="'${word//$quote/$escaped}'" ;;
    esac
    line+="${line:+ }$word"
  done
  printf '%s\n' "$line"
}

# Runs a command, or shows it.
run() { if [[ $dry_run ]]; then quoted "$@"; else "$@"; fi; }

# The same as a launcher's last act: signals reach the command, and its exit code is ours.
become() { if [[ $dry_run ]]; then quoted "$@"; else exec "$@"; fi; }
