#!/usr/bin/env bash
# On a TPU VM, once: Python 3.12 with this package in .venv, and a bucket as a folder.
#
#   launch/tpu_setup.sh [--bucket=NAME] [--dry-run]
#
# --bucket    mounted at ~/bucket with gcsfuse; the VM's service account must be allowed to write it
#
# The images have an older Python than the package needs, so uv brings one. A flat bucket has no
# folders to rename, which is how a checkpoint is finished: --rename-dir-limit lets gcsfuse move the
# files instead. Without a metadata cache every host sees at once what the first one wrote.
set -euo pipefail
bucket=''
# shellcheck source=launch/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse "bucket" "$@"
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ ! -x $HOME/.local/bin/uv ]]; then
  run bash -c 'curl -LsSf https://astral.sh/uv/install.sh | sh'
fi
run "$HOME/.local/bin/uv" venv --quiet --allow-existing --python 3.12 .venv
run "$HOME/.local/bin/uv" pip install --quiet --python .venv/bin/python \
  -r requirements.txt -e '.[tpu,prepare]'

[[ $bucket ]] || exit 0
if ! command -v gcsfuse >/dev/null; then
  key=/usr/share/keyrings/cloud.google.asc
  packages=https://packages.cloud.google.com/apt
  run bash -c "set -e
curl -fsSL $packages/doc/apt-key.gpg | sudo tee $key >/dev/null
echo \"deb [signed-by=$key] $packages gcsfuse-\$(lsb_release -cs) main\" |
  sudo tee /etc/apt/sources.list.d/gcsfuse.list
sudo apt-get update -q && sudo apt-get install -qy gcsfuse"
fi
run mkdir -p "$HOME/bucket"
mountpoint -q "$HOME/bucket" 2>/dev/null || run gcsfuse --implicit-dirs --rename-dir-limit=10000 \
  --metadata-cache-ttl-secs=0 "$bucket" "$HOME/bucket"
