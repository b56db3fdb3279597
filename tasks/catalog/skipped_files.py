"""What lies in a source, looks like a picture and is not read: how many of each kind, and why.

Kept beside the publication, for `congeal status`; a run counts anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TypedDict

from congeal.imaging.formats import HEIF_EXTRA, MAGIC_BYTES, format_of, unread_format
from infra.errors import MissingError, UserError
from infra.storage.location import Location
from infra.threads import in_threads
from tasks.catalog.listing_entries import ending_of, name_of

NAME = "published/passed_over.json"
MOST_NAMED = 3  # of each reason
MOST_REASONS = 50
MOST_LOOKED_INTO = 1_000

_NOT_AMONG = "its name ending is not among catalog.extensions"
OTHER_ENDING = f"an image by its name; {_NOT_AMONG}"
NOT_LOOKED_INTO = f"an unknown name ending; only the first {MOST_LOOKED_INTO} such files are looked into"
_EXPORT = "which is not read: export it as TIFF, PNG or JPEG"
_RAW = f"a camera's raw format, {_EXPORT}"
_MICROSCOPE = f"a microscope's or scanner's own format, {_EXPORT}"
_ARRAY = "an array, not an image file: save it as TIFF"
_EDITOR = f"an image editor's own format, {_EXPORT}"
_DRAWING = f"a drawing, not pixels, {_EXPORT}"
_MEDICAL = f"a medical format, {_EXPORT}"
_VIDEO = "a video: extract its frames as images"
_OTHER = f"an image format {_EXPORT}"
_COMPANION = "a companion file of macOS (._ in front of its name), not a picture"

_ENDINGS = {
    _RAW: "3fr arw bay cr2 cr3 crw dcr dng erf fff gpr iiq k25 kdc mdc mef mos mrw nef nrw orf pef ptx r3d "
    "raf raw rw2 rwl rwz sr2 srf srw x3f",
    "JPEG XL, " + _EXPORT: "jxl",
    _EDITOR: "psd psb xcf kra ora clip afphoto pdn procreate sai",
    _DRAWING: "svg svgz eps ps ai emf wmf cdr",
    _MEDICAL: "dcm dicom nii mha mhd nrrd ima mgz",
    _MICROSCOPE: "czi nd2 lif lsm oib oif oir vsi ims svs ndpi mrxs scn bif qptiff zvi stk flex dv mrc sld",
    _ARRAY: "npy npz",
    _VIDEO: "mp4 m4v mov avi mkv webm mpg mpeg wmv mts m2ts 3gp flv ogv ufmf mjpeg mjpg",
    _OTHER: "exr hdr pfm tga pcx ppm pgm pbm pnm pam sgi ico cur icns dds xbm xpm ras jng mng bpg flif djvu "
    "djv qoi jxr wdp hdp jls jbig jbig2 fits fit fts fpx cin dpx",
    OTHER_ENDING: "jpg jpeg jpe jif jfif jfi mpo jps png apng webp tif tiff btf tf8 bmp dib gif avif avifs "
    "jp2 j2k j2c jpc jpf jpx jpm heic heif hif heics",
}
_REASONS = {f".{ending}": reason for reason, endings in _ENDINGS.items() for ending in endings.split()}
_HEIF = {".heic", ".heif", ".hif", ".heics"}
_OTHER_FILES = (
    "txt csv tsv json jsonl geojson xml md rst html htm css js ts py ipynb r rmd m c h cpp sh bat ps1 "
    "yaml yml toml ini cfg conf log pdf doc docx odt rtf xls xlsx ods ppt pptx zip gz bz2 xz zst tar tgz "
    "7z rar parquet feather arrow db sqlite sqlite3 duckdb pkl pickle pt pth ckpt onnx safetensors h5 "
    "hdf5 nc mat slp tps pts nts wav mp3 flac ogg m4a xmp thm aae lnk url exe dll so dylib jar class md5 "
    "sha1 sha256 crc lock key pem crt gitignore gitattributes dvc"
)
_NO_PICTURES = {f".{ending}" for ending in _OTHER_FILES.split()}
_CACHES = {"thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "picasa.ini"}


class SkippedReason(TypedDict):
    """Files that are skipped for one reason. first: the names of some of them."""

    reason: str
    count: int
    first: list[str]


class SkippedFacts(TypedDict):
    """The files of a source that are skipped, the most frequent reason first."""

    total: int
    reasons: list[SkippedReason]


class PassedOver:
    """Counts what is passed over, by reason, and keeps the first names of each."""

    def __init__(self) -> None:
        self.total = 0
        self._counts: dict[str, int] = {}
        self._first: dict[str, list[str]] = {}

    def add(self, path: str, reason: str) -> None:
        """Count one object."""
        self.total += 1
        if reason not in self._counts and len(self._counts) >= MOST_REASONS:
            reason = "other reasons"
        self._counts[reason] = self._counts.get(reason, 0) + 1
        first = self._first.setdefault(reason, [])
        if len(first) < MOST_NAMED:
            first.append(path)

    def facts(self) -> SkippedFacts:
        """`total` and `reasons`, each with `reason`, `count` and `first` (names), the most frequent first."""
        reasons = sorted(self._counts.items(), key=lambda entry: (-entry[1], entry[0]))
        return {
            "total": self.total,
            "reasons": [
                {"reason": reason, "count": count, "first": sorted(self._first[reason])}
                for reason, count in reasons
            ],
        }


NOTHING: SkippedFacts = PassedOver().facts()


def reason_by_name(path: str) -> str | None:
    """Why a file of that name is not read; None if its name does not tell that it is a picture."""
    name = name_of(path)
    ending = ending_of(path) or f".{name.lstrip('.').lower()}" * name.startswith(".")
    if name.lower() in _CACHES:
        return "a cache of thumbnails, not a picture"
    if companion(path):
        return _COMPANION if ending in _REASONS else None
    if name.lower().endswith(".nii.gz"):
        return _MEDICAL
    if ending in _HEIF and not heif_is_read():
        return HEIF_EXTRA
    return _REASONS.get(ending)


def companion(path: str) -> bool:
    """True for the AppleDouble file that macOS puts beside a file on foreign disks."""
    return name_of(path).startswith("._")


def heif_is_read() -> bool:
    """Whether the extra for HEIC is installed."""
    from importlib.util import find_spec

    return find_spec("pillow_heif") is not None


def needs_extra(path: str) -> bool:
    """True for a HEIC photograph, by its name, where nothing reads those."""
    return ending_of(path) in _HEIF and not heif_is_read()


def worth_a_look(path: str) -> bool:
    """True if a file's name says nothing, so that only its first bytes can tell whether it is a picture."""
    return ending_of(path) not in _NO_PICTURES and not companion(path)


def look_into(source: Location, paths: list[str]) -> Iterator[tuple[str, str]]:
    """Those of some files that begin like pictures, each with the reason why it is not read."""
    for path, reason in zip(paths, in_threads(lambda path: _by_content(source, path), paths), strict=True):
        if reason is not None:
            yield path, reason


def _by_content(source: Location, path: str) -> str | None:
    try:
        with (source / path).open() as file:
            data = file.read(MAGIC_BYTES)
    except (UserError, OSError):
        return None
    if known := unread_format(data):
        return f"a {known} file by its content, {_EXPORT}"
    # Two letters are too few to call a file with an unknown name a bitmap.
    name = format_of(data)
    return f"a {name} image by its content; {_NOT_AMONG}" if name not in (None, "BMP") else None


def keep(destination: Location, facts: SkippedFacts) -> None:
    """Write what a run has passed over, unless that is what is there; nothing need not be said."""
    before = kept(destination)
    if before != facts and (before is not None or facts["total"]):
        (destination / NAME).write_bytes(json.dumps(facts, indent=1).encode() + b"\n")


def kept(destination: Location) -> SkippedFacts | None:
    """What the last run has passed over; None for a destination of an earlier version, or a damaged file."""
    try:
        facts: SkippedFacts = json.loads((destination / NAME).read_bytes())
        sound = isinstance(facts["total"], int) and all(
            isinstance(entry["reason"], str) and isinstance(entry["count"], int) and list(entry["first"])
            for entry in facts["reasons"]
        )
    except (MissingError, ValueError, KeyError, TypeError):
        return None
    return facts if sound else None
