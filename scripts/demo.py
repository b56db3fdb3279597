"""`make demo`: the main job on the samples, or on a folder of yours; what came out, and where to look."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from demo_answers import show
from demo_picture import draw

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "samples"
BUCKET = "demo"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", help="a folder or URL of images of your own")
    parser.add_argument("--destination", default=str(ROOT / "demo-output"))
    parser.add_argument("--s3", action="store_true", help="through an S3 endpoint, started for the demo")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="section.key=value")
    asked = parser.parse_args()
    source, settings = asked.images or str(SAMPLES), list(asked.settings)
    if asked.images is None and not any(setting.startswith("features.") for setting in settings):
        settings.append("features.backbone=embedded")
    if not any(setting.startswith("engine.") for setting in settings):
        settings.append("engine.kind=loop")  # a hundred pictures: one process needs half the memory of three
    with endpoint(asked.s3) as address:
        destination = asked.destination
        if address is not None:
            destination = f"s3://{BUCKET}/congealed"
            settings.append(f"storage.endpoint_url={address}")
            if asked.images is None:
                source = uploaded(address)
        print(f"demo: {source} to {destination}\n", flush=True)
        begin = time.monotonic()
        command = [str(Path(sys.executable).parent / "congeal"), "run", source, destination]
        options = [part for setting in settings for part in ("--set", setting)]
        code = subprocess.run([*command, *options], check=False).returncode
        if code:
            return code
        print(f"\nThe whole run took {time.monotonic() - begin:.0f} s.")
        collection = show(destination, settings, SAMPLES if asked.images is None else None)
        if collection is not None:
            picture = draw(collection, Path(asked.destination))
            print(f"\nMembers, average before, average after: {picture}")
            if address is None:
                print(f"All pictures: {destination}/stages/atlases/*/*/*/previews/*.png")
                print(f"The report, to open in a browser: {destination}/report/index.html")
                print(f"Go on: congeal status {destination}; docs/tutorial.md")
    return 0


@contextmanager
def endpoint(wanted: bool) -> Iterator[str | None]:
    """The address of an S3 server in this process, with the bucket made; None if none is wanted."""
    if not wanted:
        yield None
        return
    import logging
    import os

    from moto.server import ThreadedMotoServer

    os.environ |= {"AWS_ACCESS_KEY_ID": "demo", "AWS_SECRET_ACCESS_KEY": "demo", "AWS_REGION": "us-east-1"}
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it tells of every request
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        address = f"http://{host}:{port}"
        store(address).mkdir(BUCKET)
        yield address
    finally:
        server.stop()


def store(address: str) -> Any:
    import s3fs

    return s3fs.S3FileSystem(endpoint_url=address)


def uploaded(address: str) -> str:
    """The samples' pictures in the bucket, as a source."""
    to = store(address)
    for file in sorted(SAMPLES.rglob("*.jpg")):
        to.pipe_file(f"{BUCKET}/samples/{file.relative_to(SAMPLES).as_posix()}", file.read_bytes())
    return f"s3://{BUCKET}/samples"


if __name__ == "__main__":
    sys.exit(main())
