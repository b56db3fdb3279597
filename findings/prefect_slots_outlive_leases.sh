#!/usr/bin/env bash
# Prefect 3.8.8: a slot of a global concurrency limit that was taken under a lease stays taken for good if the server
# is started again before the lease ends.
#
# One would guess: a lease is what gives a slot back when its holder dies, and the server keeps both in its database;
#   so whatever happens to holder or server, the slot is free when the lease has run out.
# What happens: the number of slots taken lies in the database, the leases lie in the server's memory
#   (prefect.server.concurrency.lease_storage.memory, the default). A server that is started again knows of no lease,
#   still counts the slot as taken, and gives it back neither then nor later; everybody who waits for it waits for ever.
#   Undisturbed, the same server frees the slot some seconds after the lease has ended.
# Seen with: Prefect 3.8.8, SQLite, Python 3.11, leases of 60 s (the least that Prefect takes).
# Seen output: "undisturbed: free after 75 s" and "started again: still taken after 240 s".
# Why it matters to image collections: one slot a destination keeps two runs off it; after an update or a crash of the
#   server in the middle of a run, no run on that destination begins any more, and nothing says why.
# Fails (exit 1) when either half changes. Takes about seven minutes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/look.py" <<'PY'
"""A slot is taken under a lease of 60 s, with and without a server that is killed and started again."""
import json, os, signal, socket, subprocess, sys, time, urllib.request

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = str(free.getsockname()[1])
api = f"http://127.0.0.1:{port}/api"
env = os.environ | {
    "PREFECT_HOME": sys.argv[1], "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"
}
env.pop("PREFECT_API_URL", None)


def post(path, body):
    asked = urllib.request.Request(api + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked) as answer:
        return json.load(answer)


def start():
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", port]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, env=env, start_new_session=True, **silent)
    for _ in range(240):
        try:
            urllib.request.urlopen(api + "/health").close()
            return process
        except OSError:
            time.sleep(0.5)
    raise SystemExit("no server")


def stop(process):
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def take(name):
    post("/v2/concurrency_limits/", {"name": name, "limit": 1})
    post("/v2/concurrency_limits/increment-with-lease", {"names": [name], "slots": 1, "lease_duration": 60})


def freed(name, seconds):
    begin = time.time()
    while time.time() - begin < seconds:
        limits = post("/v2/concurrency_limits/filter", {})
        if not [one for one in limits if one["name"] == name][0]["active_slots"]:
            return round(time.time() - begin)
        time.sleep(2)
    return -1


server = start()
try:
    take("undisturbed")
    print("undisturbed", freed("undisturbed", 240))
    take("again")
    stop(server)
    server = start()
    print("again", freed("again", 240))
finally:
    stop(server)
PY

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check prefect==3.8.8 'sqlalchemy<2.1' 'fastapi<0.151' >/dev/null 2>&1
"$work/venv/bin/python" "$work/look.py" "$work/home" >"$work/seen"
undisturbed=$(awk '$1 == "undisturbed" {print $2}' "$work/seen")
again=$(awk '$1 == "again" {print $2}' "$work/seen")
[ "$undisturbed" -ge 0 ] && echo "undisturbed: free after $undisturbed s" || echo "undisturbed: still taken after 240 s"
[ "$again" -ge 0 ] && echo "started again: free after $again s" || echo "started again: still taken after 240 s"
[ "$undisturbed" -ge 0 ] && [ "$again" -lt 0 ]
