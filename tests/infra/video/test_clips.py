from __future__ import annotations

import contextlib
import io
import random
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from video_clips import clip, coloured, turned

from infra.errors import UserError
from infra.video.clip_writer import write_mp4
from infra.video.containers import opened
from infra.video.frame_reader import FrameReader, bmp_bytes
from infra.video.frame_times import frame_times

COLOURS = [(10 * number, 255 - 10 * number, 60) for number in range(20)]


def reader(path: Path) -> FrameReader:
    with path.open("rb") as file:
        times = frame_times(file, path.name)
    return FrameReader(path.open("rb"), times, path.name)


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def test_frames_are_those_that_were_written_in_any_order(tmp_path: Path) -> None:
    found = reader(clip(tmp_path / "a.mp4", COLOURS))
    in_order = [found.image(number) for number in range(20)]
    for data, colour in zip(in_order, COLOURS, strict=True):
        assert np.abs(pixels(data).astype(int) - colour).max() <= 4
        assert len(data) == bmp_bytes(48, 32)
    again = reader(tmp_path / "a.mp4")
    numbers = list(range(20))
    random.Random(0).shuffle(numbers)
    assert all(again.image(number) == in_order[number] for number in numbers)
    found.close()
    again.close()


@pytest.mark.parametrize(
    ("name", "codec", "before"),
    [
        ("a.ts", "libx264", 0),  # a stream of packets: the first key frame is found by when it is decoded
        ("a.avi", "libx264", 0),  # packets without times, stored in another order than shown
        ("a.avi", "mpeg4", 0),
        ("a.mkv", "libx264", 0),
        ("a.mp4", "libx264", 7),  # cut by an edit list: what is before is decoded and not shown
    ],
)
def test_frames_that_are_stored_in_another_order_are_those_that_are_shown(
    tmp_path: Path, name: str, codec: str, before: int
) -> None:
    import av

    path = tmp_path / name
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        stream.codec_context.max_b_frames, stream.codec_context.gop_size = 2, 10
        if codec == "libx264":
            stream.options = {"crf": "1", "x264-params": "open-gop=1:scenecut=0:b-adapt=0:keyint=10"}
        else:
            stream.bit_rate = 4_000_000
        packets = []
        for number, colour in enumerate(COLOURS):
            frame = av.VideoFrame.from_ndarray(coloured(colour), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            packets += stream.encode(frame)
        for packet in [*packets, *stream.encode(None)]:
            if before:
                packet.pts, packet.dts = packet.pts - before, packet.dts - before
            container.mux(packet)
    shown = COLOURS[before:]
    found = reader(path)
    numbers = list(range(len(shown)))
    in_order = [found.image(number) for number in numbers]
    for data, colour in zip(in_order, shown, strict=True):
        assert np.abs(pixels(data).astype(int) - colour).max() <= 6
    random.Random(0).shuffle(numbers)
    again = reader(path)
    assert all(again.image(number) == in_order[number] for number in numbers)
    with path.open("rb") as file:
        times = frame_times(file, name)
    assert len(times.stamps) == len(shown)
    assert times.seconds(len(shown) - 1) == pytest.approx((len(shown) - 1) / 10, abs=0.11)
    found.close()
    again.close()


def test_times_are_kept_where_the_rate_varies(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.2, 0.75, 0.8, 2.0]
    path = clip(tmp_path / "a.mp4", COLOURS[:6], times)
    with path.open("rb") as file:
        found = frame_times(file, "a.mp4")
    assert [found.seconds(number) for number in range(6)] == pytest.approx(times, abs=1e-4)
    assert found.rate == pytest.approx(Fraction(5, 2), rel=1e-3)


def test_a_clip_that_says_so_is_turned(tmp_path: Path) -> None:
    frame = coloured((0, 0, 0))
    frame[:8, :8] = 255
    write_mp4(tmp_path / "a.mp4", [(0.0, frame), (0.1, frame)])
    found = reader(turned(tmp_path / "a.mp4", 32))
    seen = pixels(found.image(1))
    assert seen.shape == (48, 32, 3)
    assert seen[3, -3, 0] > 200
    assert seen[3, 3, 0] < 50
    found.close()


def test_odd_and_changing_sizes_are_written_as_large_as_the_first(tmp_path: Path) -> None:
    frames = [(0.0, coloured((200, 30, 30), (45, 33))), (0.1, coloured((255, 255, 255), (90, 10)))]
    assert write_mp4(tmp_path / "a.mp4", frames) == 2
    found = reader(tmp_path / "a.mp4")
    second = pixels(found.image(1))
    assert second.shape == (34, 46, 3)
    assert second[16, 20, 0] > 230
    assert second[2, 20, 0] < 30
    found.close()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "cannot be read"),
        (b"no clip" * 100, "cannot be read"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/hosts\n", "cannot be read"),
        (b"ffconcat version 1.0\nfile /etc/hosts\n", "cannot be read"),
    ],
)
def test_what_is_no_clip_is_named(data: bytes, words: str) -> None:
    with pytest.raises(UserError, match=words):
        frame_times(io.BytesIO(data), "bad.mp4")


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_a_clip_that_was_cut_off_is_named(tmp_path: Path, share: float) -> None:
    whole = clip(tmp_path / "a.mp4", COLOURS).read_bytes()
    short = tmp_path / "short.mp4"
    short.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(UserError, match=r"short\.mp4|frame"):
        reader(short).image(19)


def test_a_frame_whose_bytes_are_spoiled_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    import av

    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for colour in COLOURS:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(coloured(colour), format="rgb24")))
        container.mux(stream.encode(None))
    with path.open("rb") as file, av.open(file) as container:
        packet = [one for one in container.demux(video=0) if one.size][5]
        at, size = packet.pos, packet.size
    data = bytearray(path.read_bytes())
    data[at + 8 : at + 8 + size] = bytes(size)
    path.write_bytes(data)
    found = reader(path)
    read = 0
    for number in range(20):
        with contextlib.suppress(UserError):
            read += bool(found.image(number))
    assert read >= 18
    found.close()


def test_a_codec_that_is_not_known_is_named_with_the_cure(tmp_path: Path) -> None:
    data = clip(tmp_path / "clip.mp4", [(200, 0, 0), (0, 200, 0)]).read_bytes()
    at = data.rindex(b"avc1")  # what the track says that it is in; the first one is the file's brand
    data = data[:at] + b"zzzz" + data[at + 4 :]
    sentence = "The clip a.mp4 is in a codec that this PyAV does not know: convert it to H.264."
    with pytest.raises(UserError, match=sentence), opened(io.BytesIO(data), "a.mp4"):
        pass


def test_sound_without_pictures_is_named(tmp_path: Path) -> None:
    import av

    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(UserError, match="no video"), (tmp_path / "a.mp4").open("rb") as file:
        frame_times(file, "a.mp4")


def test_the_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"congeal\[video\]"), opened(io.BytesIO(b""), "a.mp4"):
        pass
