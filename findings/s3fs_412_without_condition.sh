#!/usr/bin/env bash
# s3fs 2026.9.0: a refused put-if-absent is FileExistsError only if the answer's XML names the condition.
#
# One would guess: `pipe_file(path, data, mode="create")` on a key that exists raises FileExistsError wherever
#   the store answers 412 Precondition Failed, for nothing but If-None-Match was asked.
# What happens: s3fs looks for <Condition>If-None-Match</Condition> in the answer, an element that Amazon sends.
#   A 412 whose XML has Code and Message alone (Ceph radosgw answers so) becomes OSError(22, None).
# Seen with: s3fs 2026.9.0, fsspec 2026.9.0, Python 3.11; the answers come from a server of a few lines here.
# Seen output: "with <Condition>: FileExistsError" and "without: OSError errno 22".
# Why it matters to image collections: put-if-absent is how two writers of a catalogue agree who was first; code
#   that catches FileExistsError works in every test against moto and stops on the second run on Ceph.
# Fails (exit 1) when either half changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check s3fs==2026.9.0 fsspec==2026.9.0 2>/dev/null
cat >"$work/look.py" <<'PY'
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import s3fs


class Store(BaseHTTPRequestHandler):
    """Refuses every conditional put; whether the answer names the condition depends on the bucket."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        named = "<Condition>If-None-Match</Condition>" if self.path.startswith("/named/") else ""
        body = (
            '<?xml version="1.0" encoding="UTF-8"?><Error><Code>PreconditionFailed</Code>'
            f"<Message>At least one of the preconditions did not hold</Message>{named}</Error>"
        ).encode()
        assert self.headers["If-None-Match"] == "*"
        self.send_response(412)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Store)
threading.Thread(target=server.serve_forever, daemon=True).start()
store = s3fs.S3FileSystem(key="a", secret="b", endpoint_url=f"http://127.0.0.1:{server.server_port}",
                          client_kwargs={"region_name": "us-east-1"})
seen = {}
for bucket in ("named", "bare"):
    try:
        store.pipe_file(f"{bucket}/key", b"x", mode="create")
        seen[bucket] = "no error"
    except OSError as error:
        seen[bucket] = f"{type(error).__name__} errno {error.errno}"
print("with <Condition>:", seen["named"])
print("without:", seen["bare"])
sys.exit(not (seen["named"].startswith("FileExistsError") and seen["bare"] == "OSError errno 22"))
PY
"$work/venv/bin/python" "$work/look.py"
