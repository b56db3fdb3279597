#!/usr/bin/env bash
# sleap-io 0.9.5: which picture is frame 20 of a clip depends on which video package happens to be installed.
#
# One would guess: video[20] is the 21st picture of the file, whatever decodes it, and the last index is the
#   last picture.
# What happens: in a clip of variable frame rate (a camera that paused for half a second; phones, screen
#   recordings and triggered cameras write such), the backends "opencv" and "pyav" count the pictures of the file.
#   "FFMPEG" counts ticks of the average frame rate, and shows a picture again for every tick that it lasts:
#   video[20] is picture 10. All three say that there are 30 frames, so with FFMPEG the last pictures can't be asked for.
# Seen with: sleap-io 0.9.5, imageio 2.38.1, imageio-ffmpeg 0.8.1, PyAV 18.1.0, opencv-python-headless 5.0.0.93,
#   Python 3.11.
# Seen output: "opencv: 30 frames, frame 20 is picture 20, the last is 29", the same for pyav, and
#   "FFMPEG: 30 frames, frame 20 is picture 10, the last is 11".
# Why it matters to image collections: labels are stored by frame index. Labelled with one backend and read with
#   another, every label after the pause lies on another picture, with no error.
# Fails (exit 1) when the three agree, or when opencv or pyav count otherwise than the file does.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check sleap-io==0.9.5 imageio==2.38.1 \
  imageio-ffmpeg==0.8.1 av==18.1.0 opencv-python-headless==5.0.0.93 2>/dev/null
cat >"$work/look.py" <<'PY'
import sys
from fractions import Fraction

import av
import numpy as np
import sleap_io

PICTURES, PAUSE_AFTER, STEP = 30, 10, 8
TICK = Fraction(1, 1000)

path = sys.argv[1]
with av.open(path, "w") as clip:
    stream = clip.add_stream("libx264", rate=30)
    stream.width = stream.height = 64
    stream.pix_fmt = "yuv420p"
    stream.time_base = stream.codec_context.time_base = TICK
    for number in range(PICTURES):
        grey = np.full((64, 64, 3), STEP * number, np.uint8)  # how bright it is tells which picture it is
        frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
        frame.pts = int(1000 * number / 30) + (500 if number > PAUSE_AFTER else 0)
        frame.time_base = TICK
        clip.mux(stream.encode(frame))
    clip.mux(stream.encode())

found = {}
for backend in ("opencv", "pyav", "FFMPEG"):
    video = sleap_io.Video.from_filename(path, plugin=backend)
    shown = [round(float(video[index].mean()) / STEP) for index in (20, len(video) - 1)]
    found[backend] = (len(video), *shown)
    print(f"{backend}: {len(video)} frames, frame 20 is picture {shown[0]}, the last is {shown[1]}")
right = (PICTURES, 20, PICTURES - 1)
sys.exit(not (found["opencv"] == found["pyav"] == right and found["FFMPEG"][0] == PICTURES and found["FFMPEG"][1] != 20))
PY
"$work/venv/bin/python" "$work/look.py" "$work/clip.mp4" 2>/dev/null
