#!/usr/bin/env bash
# SimpleITK 2.5.7: an X-ray whose file says MONOCHROME1 comes out as its negative, and with a rescale slope as other quantities.
#
# One would guess: two readers give the same numbers of one DICOM file: the stored ones, or, where RescaleSlope and
#   RescaleIntercept are there, slope * stored + intercept. MONOCHROME1 says that low is to be shown white; it is a word
#   for whoever shows the picture.
# What happens: SimpleITK turns the stored numbers of a MONOCHROME1 file round (largest that its bits can hold, minus number),
#   and only then applies slope and intercept, so that a pixel with the value -100 has 155 (8 bits) or 3995 (12 bits): nothing
#   that the file speaks of. PhotometricInterpretation still says MONOCHROME1, so whoever follows it turns the
#   picture back. pydicom gives the numbers as they are stored, and so does imageio. No warning.
# Seen with: SimpleITK 2.5.7, pydicom 3.0.2, numpy 2.4.6, Python 3.11. Stored numbers 0, 1, 2, ...
# Seen output: "MONOCHROME2, 12 bits: pydicom 0 1 2, SimpleITK 0 1 2 / MONOCHROME1, 12 bits: pydicom 0 1 2, SimpleITK 4095 4094
#   4093 / with intercept -100: pydicom -100 -99 -98, SimpleITK 3995 3994 3993 / it still says MONOCHROME1".
# Why it matters to image collections: radiographs, mammograms and dental pictures of several makers lie in one folder, some
#   MONOCHROME1. A set read by one library and its annotations' previews by another are negatives of each other, and
#   measured densities run the wrong way.
# Fails (exit 1) when any of it changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check SimpleITK==2.5.7 pydicom==3.0.2 numpy==2.4.6 2>/dev/null
cat >"$work/look.py" <<'PY'
import sys

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import apply_rescale
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid


def seen(photometric, intercept=None):
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = SecondaryCaptureImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.Rows = data.Columns = 8
    data.SamplesPerPixel, data.PixelRepresentation, data.PhotometricInterpretation = 1, 0, photometric
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
    if intercept is not None:
        data.RescaleSlope, data.RescaleIntercept = 1, intercept
    data.PixelData = np.arange(64, dtype=np.uint16).tobytes()
    path = f"{sys.argv[1]}/image.dcm"
    data.save_as(path, enforce_file_format=True)
    again = pydicom.dcmread(path)
    one = [int(v) for v in apply_rescale(again.pixel_array, again).ravel()[:3]]
    image = sitk.ReadImage(path)
    other = [int(v) for v in sitk.GetArrayFromImage(image).ravel()[:3]]
    print(f"{photometric}, 12 bits, intercept {intercept}: pydicom {one}, SimpleITK {other}, it says {image.GetMetaData('0028|0004')}")
    return one, other, image.GetMetaData("0028|0004").strip()


sys.exit(
    seen("MONOCHROME2") != ([0, 1, 2], [0, 1, 2], "MONOCHROME2")
    or seen("MONOCHROME1") != ([0, 1, 2], [4095, 4094, 4093], "MONOCHROME1")
    or seen("MONOCHROME1", -100) != ([-100, -99, -98], [3995, 3994, 3993], "MONOCHROME1")
)
PY
"$work/venv/bin/python" "$work/look.py" "$work" 2>/dev/null
