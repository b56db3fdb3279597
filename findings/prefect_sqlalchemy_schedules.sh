#!/usr/bin/env bash
# Prefect 3.8.8 beside SQLAlchemy 2.1: schedules look active and never fire.
#
# One would guess: pip resolves the two together (Prefect asks for sqlalchemy>=2.0,<3), the server starts and
#   answers, `prefect deployment schedule ls` shows the cron as active, so runs are scheduled.
# What happens: the server's scheduler raises InvalidRequestError in every round, writes that to its own log
#   alone, and makes no run. With SQLAlchemy 2.0 the same server schedules the same deployment at once.
# Seen with: Prefect 3.8.8; SQLAlchemy 2.1.9 (no run) and 2.0.58 (runs); SQLite; Python 3.11.
# Seen output: "SQLAlchemy 2.0.58: scheduled runs: 61, schedule: active, InvalidRequestError in the log: 0" and
#   "SQLAlchemy 2.1.9: scheduled runs: 0, schedule: active, InvalidRequestError in the log: 54".
# Why it matters to image collections: a nightly job over a bucket is the usual way to keep a collection
#   up to date; here it silently never starts, and nothing in the UI or on the worker says so.
# Fails (exit 1) when either half changes.
set -euo pipefail
work=$(mktemp -d)
server=""
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT

cat >"$work/look.py" <<'PY'
"""Make a deployment with a cron for every minute, then count its scheduled runs for some seconds."""
import asyncio, sys, time, uuid
from prefect import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
from prefect.client.schemas.schedules import CronSchedule


async def main(seconds: float) -> None:
    async with get_client() as client:
        flow_id = await client.create_flow_from_name(f"nightly-{uuid.uuid4().hex[:6]}")
        deployment = await client.create_deployment(
            flow_id=flow_id, name="nightly",
            schedules=[DeploymentScheduleCreate(schedule=CronSchedule(cron="* * * * *"), active=True)],
        )
        found, end = [], time.monotonic() + seconds
        while time.monotonic() < end and not found:
            found = await client.read_flow_runs(
                flow_run_filter=FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[deployment]))
            )
            await asyncio.sleep(0.5)
        shown = await client.read_deployment(deployment)
        print(len(found), "active" if shown.schedules[0].active else "inactive")


asyncio.run(main(float(sys.argv[1])))
PY

try() { # SQLAlchemy's version -> "runs schedule-state errors"
  local version=$1 home="$work/$1" port
  python3 -m venv "$home"
  "$home/bin/pip" install --quiet --disable-pip-version-check prefect==3.8.8 "sqlalchemy==$version" 'fastapi<0.151' >/dev/null 2>&1
  port=$("$home/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  export PREFECT_HOME="$home/prefect" PREFECT_API_URL="http://127.0.0.1:$port/api" PREFECT_SERVER_ANALYTICS_ENABLED=false \
    DO_NOT_TRACK=1 PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS=1
  "$home/bin/prefect" server start --host 127.0.0.1 --port "$port" >"$home/log" 2>&1 &
  server=$!
  for _ in $(seq 240); do
    "$home/bin/python" -c "import urllib.request as u; u.urlopen('$PREFECT_API_URL/health')" 2>/dev/null && break
    sleep 0.5
  done
  local seen
  seen=$("$home/bin/python" "$work/look.py" 25)
  kill "$server"; wait "$server" 2>/dev/null || true; server=""
  echo "$seen $(grep -c InvalidRequestError "$home/log" || true)"
}

read -r runs_old state_old errors_old <<<"$(try 2.0.58)"
echo "SQLAlchemy 2.0.58: scheduled runs: $runs_old, schedule: $state_old, InvalidRequestError in the log: $errors_old"
read -r runs_new state_new errors_new <<<"$(try 2.1.9)"
echo "SQLAlchemy 2.1.9: scheduled runs: $runs_new, schedule: $state_new, InvalidRequestError in the log: $errors_new"
[ "$runs_old" -gt 0 ] && [ "$errors_old" -eq 0 ] && [ "$runs_new" -eq 0 ] && [ "$state_new" = active ] && [ "$errors_new" -gt 0 ]
