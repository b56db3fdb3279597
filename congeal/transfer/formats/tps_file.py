"""A TPS file as it was read and as it comes back: its specimens as they stand there, others after them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from congeal.errors import CongealError
from congeal.geometry.arrays import Doubles
from congeal.transfer.annotations import Annotation
from congeal.transfer.formats.labels import Entry, Size, encoded, placed, with_lines
from congeal.transfer.formats.tps import (
    MISSING,
    Block,
    Specimen,
    blocks,
    decoded,
    facts_of,
    flipped,
    points_of,
    split,
)
from congeal_floors.plurals import counted

CATEGORY = "specimen"
NUMBER = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True)
class TpsFile:
    """lines: with their ends. encoding: of the file. blocks: its specimens."""

    lines: Sequence[str]
    encoding: str
    blocks: Sequence[Block]

    @property
    def images(self) -> Mapping[str, Size | None]:
        """Every image that the file names; a TPS file says no sizes."""
        return {block.specimen.image: None for block in self.blocks}

    def entries(self, sizes: Mapping[str, Size]) -> list[Entry]:
        """The specimens as things with keypoints; those without a landmark wait to be filled.

        Specimens whose landmarks, curves and outlines are others than most have are not carried: which of
        their points is which is not known.

        Raises CongealError if no division into landmarks, curves and outlines is commoner than the others.
        """
        usual = self.division
        found = []
        for block in self.blocks:
            specimen = block.specimen
            name = f"specimen ID={specimen.name}" if specimen.name else f"specimen in line {block.start + 1}"
            points, division = _everything(specimen)
            annotation = Annotation(specimen.image, CATEGORY)
            problems = []
            if len(points) and division != usual:
                problems.append(f"it has {_words(division)}, most have {_words(usual)}")
            elif len(points) and specimen.image in sizes:
                xy = flipped(points, sizes[specimen.image][1])
                annotation = replace(annotation, keypoints=None if np.isnan(xy).any(1).all() else xy)
            found.append(Entry(name, specimen.image, annotation, problems, waiting=not len(points)))
        return found

    @cached_property
    def division(self) -> tuple[tuple[int, ...], ...]:
        """How the points of most specimens are divided: into landmarks, curves and outlines."""
        counts: dict[tuple[tuple[int, ...], ...], int] = {}
        for block in self.blocks:
            points, division = _everything(block.specimen)
            if len(points):
                counts[division] = counts.get(division, 0) + 1
        if not counts:
            raise CongealError("no specimen in it has a landmark")
        most = [division for division, count in counts.items() if count == max(counts.values())]
        if len(most) > 1:
            totals = [sum(map(sum, division)) for division in most]
            if min(totals) < max(totals):
                counts_said = f"{min(totals)} to {counted(max(totals), 'point')}"
                raise CongealError(f"the specimens have {counts_said}: they must agree")
            raise CongealError(
                f"the specimens have {_words(most[0])} or {_words(most[1])}: their division must agree"
            )
        return most[0]

    def written(
        self, carried: Iterable[Annotation], found: Mapping[str, str], sizes: Mapping[str, Size]
    ) -> bytes:
        """The file with what is carried: see `congeal.transfer.formats.labels.LabelFile`.

        A specimen that waits to be filled (LM=0) is filled; others are added at the end. COMMENT says how
        sure they are and from where. One that was marked stays letter by letter; if it has no comment, it
        gets one that says which of its landmarks are missing, where they are written as negative numbers.
        """
        waiting = self._waiting(found)
        end = "\r\n" if self.lines and self.lines[0].endswith("\r\n") else "\n"
        filled: dict[int, Specimen] = {}
        added: list[str] = []
        numbers = [int(n) for n in (block.specimen.name for block in self.blocks) if NUMBER.fullmatch(n)]
        following = max(numbers, default=-1) + 1
        for annotation in carried:
            uri = annotation.image
            specimen = self._specimen(annotation, sizes[uri][1])
            slot = waiting.get((uri, annotation.place or 0))
            if slot is not None:
                filled[slot] = specimen
            else:
                added += [*points_of(specimen), *facts_of(specimen, str(following))]
                following += 1
        return encoded(with_lines(self._with(filled, end), added, end), self.encoding, "an image")

    def _waiting(self, found: Mapping[str, str]) -> dict[tuple[str, int], int]:
        """Path of an image and which of its specimens, to the number of the block that waits for that one."""
        names = [block.specimen.image for block in self.blocks]
        entries = placed([Entry("", name, Annotation(name, CATEGORY)) for name in names], found)
        slots = {}
        for number, (entry, block) in enumerate(zip(entries, self.blocks, strict=True)):
            one = entry.annotation
            if one is not None and one.place is not None and not len(_everything(block.specimen)[0]):
                slots[one.image, one.place] = number
        return slots

    def _with(self, filled: Mapping[int, Specimen], end: str) -> str:
        pieces: list[str] = []
        done = 0
        for number, block in enumerate(self.blocks):
            specimen = filled.get(number)
            if specimen is not None:
                pieces += self.lines[done : block.start]
                pieces += [line + end for line in points_of(specimen)]
                done = block.start + 1
            comment = self._unmarked(block) if specimen is None else specimen.comment
            if comment:
                pieces += self.lines[done : block.end]
                if not pieces[-1].endswith(("\n", "\r")):
                    pieces.append(end)
                pieces.append(f"COMMENT={comment}{end}")
                done = block.end
        return "".join([*pieces, *self.lines[done:]])

    def _unmarked(self, block: Block) -> str:
        """A comment for a specimen that has none, on missing landmarks that are written as negative numbers.

        Not all programs know these: they must not be taken for places, nor for forgotten by what was carried.
        """
        missing = [
            number
            for number, (x, _) in enumerate(block.specimen.landmarks.tolist(), 1)
            if math.isnan(x) and MISSING not in self.lines[block.start + number]
        ]
        if not missing or block.specimen.comment:
            return ""
        return f"not marked: {', '.join(map(str, missing))}"

    def _specimen(self, annotation: Annotation, height: int) -> Specimen:
        xy, sure = annotation.keypoints, annotation.keypoint_confidence
        if xy is None or sure is None:
            raise CongealError("what is carried has no landmarks")
        # What lies off the image is not known there.
        points = flipped(np.where(sure[:, None] > 0, xy, np.nan), height)
        landmarks, curves, outlines = self.division
        parts = np.split(points, np.cumsum([*landmarks, *curves, *outlines])[:-1])
        comment = f"confidence {sure.min():.3f} to {sure.max():.3f}, from {', '.join(annotation.origin)}"
        # By rigid maps every specimen gets a copy of one shape: whoever measures shapes must know.
        comment += f", by {annotation.deformation} maps" if annotation.deformation else ""
        return Specimen(
            annotation.image,
            parts[0],
            parts[1 : 1 + len(curves)],
            comment=comment,
            outlines=parts[1 + len(curves) :],
        )


def read_file(data: bytes) -> TpsFile:
    """Read a TPS file. Raises CongealError, naming the line, for anything that is not that."""
    text, encoding = decoded(data)
    lines = split(text)
    return TpsFile(lines, encoding, blocks(lines))


def _everything(specimen: Specimen) -> tuple[Doubles, tuple[tuple[int, ...], ...]]:
    """All points of a specimen, one after another, and how they are divided."""
    parts = [specimen.landmarks, *specimen.curves, *specimen.outlines]
    division = (
        (len(specimen.landmarks),),
        tuple(len(part) for part in specimen.curves),
        tuple(len(part) for part in specimen.outlines),
    )
    return np.concatenate(parts), division


def _words(division: tuple[tuple[int, ...], ...]) -> str:
    landmarks, curves, outlines = division
    words = [f"{landmarks[0]} landmarks"]
    for name, lengths in (("curves", curves), ("outlines", outlines)):
        if lengths:
            words.append(f"{name} of {', '.join(map(str, lengths))} points")
    return " and ".join(words)
