"""SLEAP's labels, .slp files on lists of images (https://sleap.ai), read and written by sleap-io.

What a person has marked is an Instance; what is carried is a PredictedInstance with a score for each point,
as SLEAP keeps the predictions of its own networks. Places count from the centre of the top-left pixel.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from congeal.errors import CongealError
from congeal.transfer.annotations import EVERY, OWN, Annotation, Instances
from congeal.transfer.formats.frame_names import FrameNames
from congeal.transfer.formats.hdf5 import is_hdf5, self_contained
from congeal.transfer.formats.labels import Entry, Size

CATEGORY = "instance"  # where neither track nor skeleton has a name
CHANNELS = 3
IMAGES = ("ImageVideo", "SingleImageVideo")  # a list of one may be written as its name


@dataclass(frozen=True)
class SleapFile:
    """data: the file. labels: what sleap-io reads of it, not to be changed."""

    data: bytes
    labels: Any

    @property
    def images(self) -> Mapping[str, Size | None]:
        """Every image in its lists. The size that SLEAP keeps of a list is that of its first image."""
        found: dict[str, Size | None] = {}
        for video in self.labels.videos:
            for number, name in enumerate(_names(video)):
                found.setdefault(name, _size(video) if number == 0 else None)
        return found

    def entries(self, sizes: Mapping[str, Size]) -> list[Entry]:
        """The instances that a person has marked, as things with keypoints.

        With tracks, if all of them are on one, belongs together what is on the same track: each is an
        individual, which images have once. Else the n-th of a frame with the n-th of the others. Predicted
        instances are not carried from. On a frame with instances of either kind, or that is marked as without
        any, whatever is missing is absent.
        """
        tracked = self._tracked
        found: list[Entry] = []
        counts: list[tuple[str, Counter[tuple[str, str]]]] = []
        for frame in self.labels.labeled_frames:
            image, problem = _image(frame)
            if not frame.instances and not frame.is_negative:
                if image:
                    found.append(
                        Entry(f"frame {frame.frame_idx}", image, Annotation(image, ""), waiting=True)
                    )
                continue
            here: Counter[tuple[str, str]] = Counter()
            for number, instance in enumerate(frame.user_instances):
                name = f"instance {number + 1} of frame {frame.frame_idx}"
                if problem:
                    found.append(Entry(name, image, None, [problem]))
                    continue
                one = _annotation(instance, image, self._kind(instance, tracked), OWN if tracked else EVERY)
                here[one.category, str(one.category_id)] += 1
                found.append(Entry(name, image, one))
            if image:
                counts.append((image, here))
        most: Counter[tuple[str, str]] = Counter()
        for _, here in counts:
            most |= here
        for image, here in counts:
            for (category, kind), missing in (most - here).items():
                one = Annotation(image, category, category_id=kind)
                found += [Entry(category, image, one, absent=True)] * missing
        return found

    def written(
        self, carried: Iterable[Annotation], found: Mapping[str, str], sizes: Mapping[str, Size]
    ) -> bytes:
        """The file with what is carried: see `congeal.transfer.formats.labels.LabelFile`.

        Images that are in none of its lists come in lists of their own, one for each size, named as the file
        names its own images. What lies off the image has no place.
        """
        import sleap_io

        labels = _loaded(self.data)
        places: dict[str, tuple[Any, int]] = {}
        for video in labels.videos:
            for number, name in enumerate(_names(video)):
                if name in found:
                    places.setdefault(found[name], (video, number))
        frames = {(id(frame.video), frame.frame_idx): frame for frame in labels.labeled_frames}
        pending = list(carried)
        new = [one.image for one in pending if one.image not in places]
        names = FrameNames(found, named=self.images, others=new)
        places |= _new_videos(sleap_io, labels, pending, places, names, sizes)
        for one in pending:
            if one.keypoints is None or one.keypoint_confidence is None:
                continue
            video, number = places[one.image]
            frame = frames.get((id(video), number))
            if frame is None:
                frame = sleap_io.LabeledFrame(video=video, frame_idx=number)
                frames[id(video), number] = frame
                labels.labeled_frames.append(frame)
            skeleton, track = (int(part) for part in str(one.category_id).split("/"))
            sure = one.keypoint_confidence
            frame.instances.append(
                sleap_io.PredictedInstance.from_numpy(
                    np.where(sure[:, None] > 0, one.keypoints, np.nan),
                    skeleton=labels.skeletons[skeleton],
                    point_scores=sure,
                    score=one.confidence,
                    track=labels.tracks[track] if track >= 0 else None,
                )
            )
        return _saved(labels, self.data)

    @property
    def _tracked(self) -> bool:
        return all(
            one.track is not None for frame in self.labels.labeled_frames for one in frame.user_instances
        )

    def _kind(self, instance: Any, tracked: bool) -> tuple[str, str]:
        """What an instance is called, and the numbers of its skeleton and its track."""
        skeleton = _position(self.labels.skeletons, instance.skeleton)
        track = _position(self.labels.tracks, instance.track) if tracked else -1
        name = instance.track.name if tracked else instance.skeleton.name
        return name or CATEGORY, f"{skeleton}/{track}"


def read(data: bytes) -> SleapFile:
    """Read a file.

    Raises CongealError for one that is none, whose images are a clip or lie in the file itself, or that marks
    nothing, and if sleap-io is not installed.
    """
    if not is_hdf5(data):
        raise CongealError("it is no SLEAP file, which is HDF5")
    try:
        import sleap_io  # noqa: F401
    except ImportError as error:
        raise CongealError("SLEAP's files are read with sleap-io: pip install 'congeal[sleap]'") from error
    self_contained(data)
    labels = _loaded(data)
    if not labels.videos:
        raise CongealError("it names no images")
    kinds = [_refused(video) for video in labels.videos]
    if all(kinds):
        raise CongealError(str(kinds[0]))
    if not any(frame.user_instances for frame in labels.labeled_frames):
        raise CongealError("no instance in it was marked by hand; predicted instances are not carried from")
    return SleapFile(data, labels)


def _refused(video: Any) -> str:
    """Why its frames are no images of a collection; empty if they are."""
    about = video.backend_metadata
    if "crop" in about:
        return f"its video {_first(video)} is cropped: give labels on the whole images"
    if isinstance(video.filename, list) or about.get("type") in IMAGES:
        return "" if video.filename else "it names no images"
    if about.get("has_embedded_images") or about.get("filename") == "." or about.get("dataset"):
        return (
            "its images lie in the file itself: give the .slp on a list of image files that it was made from"
        )
    return (
        f"its video is the clip {_first(video)}, which is not read: save its frames as images, and the "
        "labels on the list of these"
    )


def _first(video: Any) -> str:
    return str(video.filename[0] if isinstance(video.filename, list) else video.filename)


def _names(video: Any) -> list[str]:
    if _refused(video):
        return []
    names = video.filename if isinstance(video.filename, list) else [video.filename]
    return [str(name) for name in names]


def _size(video: Any) -> Size | None:
    shape = video.backend_metadata.get("shape")
    if not isinstance(shape, Sequence) or len(shape) != 4 or not all(shape[1:3]):
        return None
    return int(shape[2]), int(shape[1])


def _image(frame: Any) -> tuple[str, str]:
    """The name of a frame's image, or why it has none."""
    problem = _refused(frame.video)
    names = _names(frame.video)
    if not problem and not 0 <= frame.frame_idx < len(names):
        problem = f"it is of image {frame.frame_idx} of a list of {len(names)}"
    return ("", problem) if problem else (names[frame.frame_idx], "")


def _annotation(instance: Any, image: str, kind: tuple[str, str], instances: Instances) -> Annotation:
    one = Annotation(image, kind[0], category_id=kind[1], instances=instances)
    points = np.asarray(instance.numpy(invisible_as_nan=True), np.float64)[:, :2]
    points = np.where(np.isfinite(points).all(1, keepdims=True), points, np.nan)
    if not np.isfinite(points).any():
        return one
    return replace(one, keypoints=points, keypoint_names=tuple(instance.skeleton.node_names))


def _position(things: Sequence[Any], one: Any) -> int:
    return next(number for number, other in enumerate(things) if other is one)


def _new_videos(
    sleap_io: Any,
    labels: Any,
    carried: Sequence[Annotation],
    places: Mapping[str, tuple[Any, int]],
    names: FrameNames,
    sizes: Mapping[str, Size],
) -> dict[str, tuple[Any, int]]:
    """Lists of the images that are in none, added to the labels; path to video and number of each."""
    by_size: dict[Size, list[str]] = {}
    for uri in dict.fromkeys(one.image for one in carried):
        if uri not in places:
            by_size.setdefault(sizes[uri], []).append(uri)
    known = next(video.backend_metadata for video in labels.videos if not _refused(video))
    found: dict[str, tuple[Any, int]] = {}
    for (width, height), uris in by_size.items():
        files = [names.name(uri) for uri in uris]
        shape = known.get("shape")
        channels = shape[-1] if shape else CHANNELS
        about = {
            "type": "ImageVideo",
            "shape": [len(files), height, width, channels],
            "filename": files[0],
            "filenames": files,
            "height_": height,
            "width_": width,
            "channels_": channels,
            "grayscale": known.get("grayscale"),
        }
        video = sleap_io.Video(filename=files, backend_metadata=about, open_backend=False)
        labels.videos.append(video)
        found |= {uri: (video, number) for number, uri in enumerate(uris)}
    return found


def _folder() -> tempfile.TemporaryDirectory[str]:
    """A temporary folder whose name says whose it is: what a killed process leaves is known by that (see
    `infra.compute.temporary_folders`)."""
    return tempfile.TemporaryDirectory(prefix=f"congeal-labels-{os.getpid()}-")


def _loaded(data: bytes) -> Any:
    import h5py
    import sleap_io

    with _folder() as folder:
        place = Path(folder) / "labels.slp"
        place.write_bytes(data)
        try:
            labels = sleap_io.load_slp(str(place), open_videos=False)
            with h5py.File(place, "r") as file:
                labels.provenance = _provenance(file)
        except Exception as error:  # whatever a damaged file brings about in it
            raise CongealError(f"sleap-io cannot read it ({type(error).__name__}: {error})") from error
    return labels


def _provenance(file: Any) -> dict[str, Any]:
    """What the file says of its origin; sleap-io puts where it was read from in its place."""
    if "provenance_json" in file:
        found = json.loads(file["provenance_json"][()])
    else:
        found = json.loads(file["metadata"].attrs["json"]).get("provenance", {})
    return dict(found)


def _saved(labels: Any, data: bytes) -> bytes:
    """The labels as a file, with what was there that sleap-io does not know, and the videos as they stood."""
    import h5py
    import sleap_io

    with _folder() as folder:
        place = Path(folder) / "labels.slp"
        sleap_io.save_slp(
            labels,
            str(place),
            embed=False,
            restore_original_videos=False,
            verbose=False,
            save_embedding_vectors=True,
        )
        with h5py.File(io.BytesIO(data), "r") as before, h5py.File(place, "a") as file:
            for name in before:
                if name not in file:
                    before.copy(name, file)
            old, new = before["videos_json"][:], file["videos_json"][:]
            del file["videos_json"]
            rows = [*old.tolist(), *new.tolist()[len(old) :]]
            file.create_dataset("videos_json", data=rows, dtype=h5py.string_dtype())
        return place.read_bytes()
