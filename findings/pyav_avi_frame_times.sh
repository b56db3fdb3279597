#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg): frames of H.264 in an .avi come with the times of other frames.
#
# One would guess: the frames that `container.decode` gives come in the order of their times, `frame.pts` rises, and sorting
#   or looking up frames by their time is the same as counting them, in .avi as in .mp4 and .mkv.
# What happens: AVI has no times, only an order of packets, and H.264 with B-frames is stored in another order than it is
#   shown in. The decoder gives the pictures in the right order; each has the time of the place at which its own packet
#   was stored. In order of time the pictures are 0, 3, 1, 2, 6, ... A seek to the time of picture 5 and decoding until
#   that time comes gives another picture. The same packets in .mp4 have the right times. With MPEG-4 (ASP) in .avi
#   they are right, too: there FFmpeg looks into the packets. No warning.
# Seen with: PyAV 18.1.0, numpy 2.4.6, Python 3.11. Twenty pictures, ten a second.
# Seen output: "mp4: by time 0 1 2 3 4 5 6 7 / avi: decoded 0 1 2 3 4 5 6 7, by time 0 3 1 2 6 4 5 9".
# Why it matters to image collections: action cameras, recorders and microscopes write .avi, and what tells frames apart by their
#   time (a seek, a table of frames and times, a join with a sensor's log) takes one picture for another, off by one
#   or two, in silence. Of such files, count frames from the first.
# Fails (exit 1) when any of it changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6 2>/dev/null
cat >"$work/look.py" <<'PY'
import sys
from fractions import Fraction

import av
import numpy as np

COUNT = 20


def written(path):
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "5", "x264-params": "b-adapt=0:scenecut=0"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.max_b_frames, stream.codec_context.gop_size = 2, COUNT
        for at in range(COUNT):
            frame = av.VideoFrame.from_ndarray(np.full((64, 96, 3), 20 + 10 * at, np.uint8), format="rgb24")
            frame.pts, frame.time_base = at, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def seen(path):
    with av.open(path) as container:
        frames = [
            (frame.pts, round((float(frame.to_ndarray(format="rgb24")[20:40, 20:60].mean()) - 20) / 10))
            for frame in container.decode(video=0)
        ]
    return [number for _, number in frames], [number for _, number in sorted(frames)]


found = {}
for kind in ("mp4", "avi"):
    written(f"{sys.argv[1]}/a.{kind}")
    found[kind] = seen(f"{sys.argv[1]}/a.{kind}")
right = list(range(COUNT))
print("mp4: by time", *found["mp4"][1][:8])
print("avi: decoded", *found["avi"][0][:8], end=", ")
print("by time", *found["avi"][1][:8])
good = found["mp4"] == (right, right) and found["avi"][0] == right
sys.exit(not (good and found["avi"][1] != right and sorted(found["avi"][1]) == right))
PY
"$work/venv/bin/python" "$work/look.py" "$work" 2>/dev/null
