#!/usr/bin/env bash
# OpenCV 5.0.0 and decord 0.6.0: which picture is frame 10 of an MPEG-TS clip, three programs do not agree.
#
# One would guess: a clip's frames have the same numbers in .mp4 and, copied without encoding anew, in .ts. OpenCV's
#   CAP_PROP_POS_FRAMES, "index of the frame to be decoded next", set to 10 gives the eleventh picture.
# What happens: in the .ts OpenCV, which counts the same 60 pictures, gives picture 31 for frame 10: it seeks to a time
#   and takes where it lands, the second key frame, for frame 10. decord takes the second key frame for frame 0, says
#   that there are 60, and fills the end with copies of the last one. Read from the first picture on, OpenCV is right,
#   and so is PyAV. With .mp4 all agree. No error, no warning.
# Seen with: opencv-python-headless 5.0.0.93, decord 0.6.0, PyAV 18.1.0, numpy 2.4.6, Python 3.11. Sixty pictures, a key
#   frame every thirty.
# Seen output: "mp4: frame 10 is picture 10 (PyAV), 10 (OpenCV read in order), 10 (OpenCV set), 10 (decord) / ts: frame 10
#   is picture 10 (PyAV), 10 (OpenCV read in order), 31 (OpenCV set), 40 (decord), decord's last 31 are one picture".
# Why it matters to image collections: camcorders (.mts), broadcasts and recorders that must survive a power cut write MPEG-TS.
#   Labels are kept by frame number: made with one program and read with another, or by jumping instead of
#   reading through, they lie a whole second beside the picture.
# Fails (exit 1) when any of it changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 decord==0.6.0 \
  av==18.1.0 numpy==2.4.6 2>/dev/null
cat >"$work/look.py" <<'PY'
import sys
from fractions import Fraction

import av
import cv2
import decord
import numpy as np

COUNT, KEY = 60, 30


def number(pixels):
    """Every picture is grey, by its number."""
    return round((float(np.asarray(pixels)[20:40, 20:60].mean()) - 20) / 3)


def copied(source, target):
    with av.open(source) as old, av.open(target, "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = stream
                new.mux(packet)


def written(path):
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "5"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = KEY, 2
        for at in range(COUNT):
            frame = av.VideoFrame.from_ndarray(np.full((64, 96, 3), 20 + 3 * at, np.uint8), format="rgb24")
            frame.pts, frame.time_base = at, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def seen(path):
    with av.open(path) as container:
        by_av = [number(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    clip = cv2.VideoCapture(path)
    in_order = [number(clip.read()[1]) for _ in range(int(clip.get(cv2.CAP_PROP_FRAME_COUNT)))]
    clip.set(cv2.CAP_PROP_POS_FRAMES, 10)
    reader = decord.VideoReader(path)
    by_decord = [number(reader[at].asnumpy()) for at in range(len(reader))]
    return by_av, in_order, number(clip.read()[1]), by_decord


written(f"{sys.argv[1]}/a.mp4")
copied(f"{sys.argv[1]}/a.mp4", f"{sys.argv[1]}/a.ts")
good = True
for kind, jumped, shift in (("mp4", 10, 0), ("ts", KEY + 1, KEY)):
    by_av, in_order, by_jump, by_decord = seen(f"{sys.argv[1]}/a.{kind}")
    same = sum(one == by_decord[-1] for one in by_decord)
    print(
        f"{kind}: frame 10 is picture {by_av[10]} (PyAV), {in_order[10]} (OpenCV read in order), {by_jump} (OpenCV set), "
        f"{by_decord[10]} (decord)" + (f", decord's last {same} are one picture" if same > 1 else "")
    )
    good &= by_av == in_order == list(range(COUNT)) and by_jump == jumped
    good &= by_decord == [min(at + shift, COUNT - 1) for at in range(COUNT)]
sys.exit(not good)
PY
"$work/venv/bin/python" "$work/look.py" "$work" 2>/dev/null
