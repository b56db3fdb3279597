#!/usr/bin/env bash
# openvino 2026.4.1: importing it writes an identifier of the user into the home folder and tries to send it.
#
# One would guess: `import openvino` makes functions available.
# What happens: it makes ~/intel with a random identifier in it and opens a connection to report to Google Analytics,
#   unless the user has run `opt_in_out --opt_out` or the variable CI (or one like it) is set. With
#   sys.modules["openvino_telemetry"] = None before the import it does neither, and the package works.
# Seen with: openvino 2026.4.1, openvino-telemetry 2025.2.0, Python 3.11. No connection is made here: the
#   look-up of addresses is replaced by one that writes down the name and fails.
# Seen output: "as it is: files ['intel/openvino_ga_cid'], a server asked for: True / without telemetry: files [], a
#   server asked for: False".
# Why it matters to image collections: hospitals and archives run such jobs where nothing may leave the machine, in
#   read-only homes, in thousands of fresh containers, each a new identifier.
# Fails (exit 1) when either changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check openvino==2026.4.1 \
    openvino-telemetry==2025.2.0 2>/dev/null
cat >"$work/look.py" <<'PY'
import multiprocessing
import os
import socket
import sys
from pathlib import Path

asked = Path(os.environ["ASKED"])


def nobody(host, *_, **__):
    with asked.open("a") as file:
        print(host, file=file)
    raise OSError("no network here")


socket.getaddrinfo = nobody
multiprocessing.set_start_method("fork")  # so that a process that reports has the replaced look-up, too
if sys.argv[1] == "without":
    sys.modules["openvino_telemetry"] = None
import openvino

assert openvino.Core().available_devices
PY
seen=""
for how in as-it-is without; do
    home="$work/home-$how"
    mkdir "$home"
    touch "$work/asked-$how"
    env -i PATH="$PATH" HOME="$home" ASKED="$work/asked-$how" "$work/venv/bin/python" "$work/look.py" "$how"
    files=$(cd "$home" && find . -type f | sort | tr '\n' ' ')
    servers=$(sort -u "$work/asked-$how" | tr '\n' ' ')
    echo "$how: files: ${files:-none}, servers asked for: ${servers:-none}"
    seen+="$how|${files:+files}|${servers:+servers};"
done
test "$seen" = "as-it-is|files|servers;without||;"
