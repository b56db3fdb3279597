#!/usr/bin/env bash
# fsspec 2026.9.0: behind simplecache with same_names=True two photographs of one name are one photograph; behind filecache they are two.
#
# One would guess: a cache gives the bytes of the path that it is asked for. `same_names=True`, which readers that look at a
#   file's ending need, only says how the copies on the disk are called.
# What happens: simplecache looks whether a copy of that name lies in its folder, and takes it. Whichever left/0001.jpg and
#   right/0001.jpg was opened first is what opening either gives, from then on, in other processes as well; asked for both at
#   once (`cat`), both are the one that came last. filecache with the same option keeps a list, and is right. No warning.
# Seen with: fsspec 2026.9.0, Python 3.11.
# Seen output: "filecache: left right / simplecache: left left / simplecache, in another process: left left / simplecache, both at once:
#   right right".
# Why it matters to image collections: cameras, plates and clips number from 0001.jpg in every folder. Whole folders are then
#   copies of the first one's pictures under their own names, with sizes and labels of their own.
# Fails (exit 1) when any of the four changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check fsspec==2026.9.0 2>/dev/null
mkdir -p "$work/source/left" "$work/source/right"
printf left >"$work/source/left/0001.jpg"
printf right >"$work/source/right/0001.jpg"
cat >"$work/look.py" <<'PY'
import sys

import fsspec

work, kind, cache, how = sys.argv[1:]
files = fsspec.filesystem(kind, target_protocol="file", cache_storage=f"{work}/{cache}", same_names=True)
paths = [f"{work}/source/{side}/0001.jpg" for side in ("left", "right")]
if how == "together":
    print(*(data.decode() for data in files.cat(paths).values()))
else:
    for path in paths:
        with files.open(path) as file:
            print(file.read().decode(), end=" ")
    print()
PY
sound=0
seen() {
  local found
  found=$("$work/venv/bin/python" "$work/look.py" "$work" "$2" "$3" "$4" 2>/dev/null)
  echo "$1: $found"
  [ "${found% }" = "$5" ] || sound=1
}
seen "filecache" filecache kept one "left right"
seen "simplecache" simplecache simple one "left left"
seen "simplecache, in another process" simplecache simple one "left left"
seen "simplecache, both at once" simplecache fresh together "right right"
exit "$sound"
