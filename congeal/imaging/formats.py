"""Image formats by their magic numbers: those that are read, and those that are only known by name."""

from __future__ import annotations

HEIF = "HEIF"
HEIF_EXTRA = "HEIC photographs need the extra heif: pip install 'congeal[heif]'"
MAGIC_BYTES = (
    132  # DICOM begins with 128 bytes of anything: enough of a file's beginning for the two functions below
)

_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1"}
_UNREAD = (
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"8BPS", "Photoshop"),
    (b"v/1\x01", "OpenEXR"),
    (b"SIMPLE  =", "FITS"),
    (b"\x93NUMPY", "NumPy array"),
    (b"FUJIFILMCCD-RAW", "camera raw"),
    (b"IIRO", "camera raw"),
    (b"IIU\0", "camera raw"),
    (b"#?RADIANCE", "Radiance"),
    (b"gimp xcf", "GIMP"),
    (b"DDS ", "DirectDraw"),
    (b"II\xbc\x01", "JPEG XR"),
    (b"\xda\xa2\xb8\x5c", "Zeiss"),
    (b"ZISRAWFILE", "Zeiss"),
)


def format_of(data: bytes) -> str | None:
    """The name of the format that a file's first MAGIC_BYTES announce, if it is one that is read."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data.startswith((b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")):
        return "JPEG2000"
    if data[4:8] == b"ftyp":
        return _of_brands(data)
    return "BMP" if data.startswith(b"BM") else None


def _of_brands(data: bytes) -> str | None:
    """AVIF and HEIF share a container; its first box lists what it holds."""
    end = min(int.from_bytes(data[:4], "big"), len(data), 256)
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, end - 3, 4))}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return HEIF if brands & _HEIF_BRANDS else None


def unread_format(data: bytes) -> str | None:
    """The name of a picture's format that is known but not read, from a file's first MAGIC_BYTES."""
    if data[4:12] == b"ftypcrx ":
        return "camera raw"
    if data[128:132] == b"DICM":
        return "DICOM"
    return next((name for magic, name in _UNREAD if data.startswith(magic)), None)


def jpeg_frame(data: bytes) -> tuple[int, int]:
    """The process of a JPEG file's frame (0 baseline, 2 progressive, 3 lossless, …) and the bits of a sample.

    Baseline and 8 if its header does not say.
    """
    at = 2
    while at + 5 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # tables and an extension
            return marker - 0xC0, data[at + 4]
        at += 1 if marker == 0xFF else 2 + max(int.from_bytes(data[at + 2 : at + 4], "big"), 2)
    return 0, 8


def webp_canvas(data: bytes) -> tuple[int, int] | None:
    """Width and height from a WebP file's first chunk; None where it holds neither."""
    kind, body = data[12:16], data[20:30]
    if len(body) < 10:
        return None
    if kind == b"VP8X":
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    return None


def png_depth(data: bytes) -> int:
    """Bits a sample of a PNG file, from its header."""
    return data[24] if len(data) > 24 else 8


def png_significant_bits(data: bytes) -> tuple[int, ...]:
    """What the chunk sBIT says, a number a channel; empty where there is none."""
    at = 8
    while at + 12 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if kind == b"sBIT":
            return tuple(data[at + 8 : at + 8 + min(length, 4)])
        if kind in (b"IDAT", b"IEND"):
            break
        at += 12 + length
    return ()


def jpeg2000_depth(data: bytes) -> tuple[int, bool]:
    """Bits a sample of a JPEG 2000 file's first component, and whether it has a sign; 8, no, if not told."""
    # SOC, SIZ: two markers, eleven fields of 38 bytes together, then one byte a component.
    at = data.find(b"\xff\x4f\xff\x51")
    if at < 0 or at + 43 > len(data):
        return 8, False
    told = data[at + 42]
    return (told & 0x7F) + 1, bool(told & 0x80)


def jpeg2000_grid(data: bytes) -> tuple[int, int, int, int] | None:
    """Where a JPEG 2000 picture begins in the grid of its samples, right and down; its width and height.

    None if its header does not say, or some of its components have fewer samples than others.
    """
    at = data.find(b"\xff\x4f\xff\x51")
    if at < 0 or at + 42 > len(data):
        return None
    right, bottom, left, top = (
        int.from_bytes(data[at + 8 + 4 * k : at + 12 + 4 * k], "big") for k in range(4)
    )
    count = int.from_bytes(data[at + 40 : at + 42], "big")
    steps = {tuple(data[at + 43 + 3 * k : at + 45 + 3 * k]) for k in range(count)}
    return (left, top, right - left, bottom - top) if steps == {(1, 1)} else None


def jpeg2000_samples(data: bytes) -> int:
    """Samples of a pixel of a JPEG 2000 file, 1 if its header does not say."""
    at = data.find(b"\xff\x4f\xff\x51")
    return 1 if at < 0 or at + 42 > len(data) else int.from_bytes(data[at + 40 : at + 42], "big")


def jpeg2000_levels(data: bytes) -> int:
    """How often a JPEG 2000 file can be halved while it is decoded, by its header; 0 if it does not say."""
    start = data.find(b"\xff\x4f\xff\x51")
    at = start + 2
    while start >= 0 and at + 10 <= len(data) and data[at] == 0xFF:
        if data[at + 1] == 0x52:  # COD: its length, style, progression, layers, colours; then the levels
            return min(data[at + 9], 32)
        if data[at + 1] == 0x90:  # a tile begins
            break
        at += 2 + max(int.from_bytes(data[at + 2 : at + 4], "big"), 2)
    return 0


def jpeg2000_tiles(data: bytes) -> int:
    """How many tiles a JPEG 2000 file has by its header; 1 if it does not say."""
    at = data.find(b"\xff\x4f\xff\x51")
    if at < 0 or at + 40 > len(data):
        return 1
    # SOC, SIZ, its length, the capabilities; then eight numbers: the grid's size and offset, and the tiles'.
    right, bottom, _, _, width, height, left, top = (
        int.from_bytes(data[at + 8 + 4 * k : at + 12 + 4 * k], "big") for k in range(8)
    )
    if not width or not height or right <= left or bottom <= top:
        return 1
    return -(-(right - left) // width) * -(-(bottom - top) // height)
