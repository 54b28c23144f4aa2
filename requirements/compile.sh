#!/usr/bin/env bash
# Remakes requirements/*.txt from requirements/*.in.
#
#   requirements/compile.sh             keeps every pin that still satisfies its .in file
#   requirements/compile.sh --upgrade   takes the newest versions
#
# Needs uv (`pip install uv`). Every pin carries the hashes of all files of its release, so that one file serves
# every platform; no file names an index, so that pip takes them from wherever it is configured to look.
set -euo pipefail
cd "$(dirname "$0")/.."

compile() { # name, oldest Python, further arguments
  local name=$1 python=$2
  shift 2
  echo "requirements/$name.txt (Python $python and newer)"
  uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --no-emit-find-links \
    --python-version "$python" --output-file "requirements/$name.txt" "$@" "requirements/$name.in"
}

compile test 3.11 "$@"
# The smaller sets take the versions of the tested set: what is served is what was tested.
for name in base demo bench; do
  compile "$name" 3.11 "$@" --constraint requirements/test.txt
done
compile django6 3.12 "$@"

if grep -nE '://|^ *--(extra-)?index-url|^ *--find-links' requirements/*.txt; then
  echo "requirements/*.txt must name no index and no host" >&2
  exit 1
fi
