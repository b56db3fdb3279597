#!/usr/bin/env bash
# obstore 0.12.1: one object with a doubled slash in its name ends the listing of its whole S3 prefix, and
#   the names that it does list are not always the names in the bucket.
#
# One would guess: listing a bucket gives the names of its objects, and a name that was listed can be read.
# What happens: "photos//a.jpg" (written by whoever joined a folder that ends in "/" with "/a.jpg") makes `list`
#   raise InvalidPathError; no object after it is listed, whatever its name, and the object itself can't be
#   asked for. The empty object "photos/2024/", which the S3 console makes for a new folder, is listed as
#   "photos/2024" without its slash, and reading that says that there is no such object. "/photos/c.jpg" is
#   listed as "photos/c.jpg": reading that gives the bytes of another object if there is one of that name.
#   boto3 lists all as they are and reads them.
# Seen with: obstore 0.12.1, boto3 1.44.8, moto 5.2.5, Python 3.11.
# Seen output: "doubled slash: InvalidPathError / folder: photos/2024, FileNotFoundError / leading slash:
#   photos/c.jpg twice, bytes of the other / boto3: all names and bytes right".
# Why it matters to image collections: buckets that many tools wrote to hold all three. A program that lists
#   through obstore (zarr's ObjectStore, polars and lance build on the same object_store) stops at the first,
#   counts folders as images that cannot be read, and reads one photograph in place of another.
# Fails (exit 1) when any of it changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check obstore==0.12.1 boto3==1.44.8 \
    "moto[server]==5.2.5" 2>/dev/null
cat >"$work/look.py" <<'PY'
import logging
import os
import sys

os.environ |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
logging.getLogger("werkzeug").setLevel(logging.ERROR)

import boto3
import obstore
from moto.server import ThreadedMotoServer
from obstore.store import S3Store

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
address = "http://127.0.0.1:{1}".format(*server.get_host_and_port())
client = boto3.client("s3", endpoint_url=address)


def bucket(name, keys):
    """A bucket with objects whose bytes are their own names; folders are empty. Returns obstore's view of it."""
    client.create_bucket(Bucket=name)
    for key in keys:
        client.put_object(Bucket=name, Key=key, Body=b"" if key.endswith("/") else key.encode())
    return S3Store(name, endpoint=address, region="us-east-1", client_options={"allow_http": True})


def listed(store):
    return sorted(entry["path"] for page in store.list() for entry in page)


def error_of(action):
    try:
        action()
    except Exception as error:
        return type(error).__name__
    return "no error"


doubled = ["photos//a.jpg", "photos/b.jpg"]
folder = ["photos/2024/", "photos/2024/d.jpg"]
leading = ["/photos/c.jpg", "photos/c.jpg"]

first = error_of(lambda: listed(bucket("doubled", doubled)))
print("doubled slash:", first)
store = bucket("folder", folder)
second = (listed(store), error_of(lambda: obstore.get(store, "photos/2024")))
print("folder:", *second)
store = bucket("leading", leading)
third = (listed(store), [bytes(obstore.get(store, name).bytes()).decode() for name in listed(store)])
print("leading slash:", *third)
right = all(
    [entry["Key"] for entry in client.list_objects_v2(Bucket=name)["Contents"]] == sorted(keys)
    and all(
        client.get_object(Bucket=name, Key=key)["Body"].read() == (b"" if key.endswith("/") else key.encode())
        for key in keys
    )
    for name, keys in (("doubled", doubled), ("folder", folder), ("leading", leading))
)
print("boto3:", "all names and bytes right" if right else "something else")
server.stop()
same = (
    first == "InvalidPathError"
    and second == (["photos/2024", "photos/2024/d.jpg"], "FileNotFoundError")
    and third == (["photos/c.jpg", "photos/c.jpg"], ["photos/c.jpg", "photos/c.jpg"])
    and right
)
sys.exit(0 if same else 1)
PY
"$work/venv/bin/python" "$work/look.py"
