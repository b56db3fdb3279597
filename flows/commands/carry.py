"""Commands that carry what is marked or painted on one image to others: `congeal transfer`, `propagate`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from congeal_floors.plurals import counted
from flows.console.quiet_libraries import pyarrow_by_itself
from flows.console.terminal import Config, Destination, Json, Overrides, answers, opened, shown_place

if TYPE_CHECKING:
    from collections.abc import Sequence

IMAGE = "Image id, or path relative to SOURCE."
Version = Annotated[str | None, typer.Option("--version", help="An older version, by its number.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that are there already.")]
SHOWN = 5  # of what was left out; --json has all


DOUBTFUL = (
    "The cluster of these images is doubtful: matching does not bear its maps out, and confidence may be far "
    "too high. Look at it in the report.\n"
)


@answers
def transfer(
    destination: Destination,
    source: Annotated[str, typer.Option("--from", metavar="IMAGE", help=IMAGE)],
    targets: Annotated[
        list[str], typer.Option("--to", metavar="IMAGE", help=f"{IMAGE} May be repeated; all: every other.")
    ],
    points: Annotated[
        str, typer.Option("--points", metavar="IN.csv", help="CSV with the columns x and y, in pixels.")
    ],
    out: Annotated[
        str | None, typer.Option("--out", metavar="OUT.csv", help="CSV to write; stdout if absent.")
    ] = None,
    instances: Annotated[
        bool, typer.Option("--instances", help="To every instance in each target, not the first alone.")
    ] = False,
    from_instance: Annotated[
        int, typer.Option("--from-instance", metavar="N", help="Instance of IMAGE that the points are on.")
    ] = 0,
    overwrite: Overwrite = False,
    version: Version = None,
    config: Config = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> Any:
    """Carry points of one image to others: x, y, confidence, visible."""
    pyarrow_by_itself()
    from congeal.results.collection import Collection
    from flows.propagation.points import carry, fresh
    from infra.storage.location import Location

    place, settings = opened(destination, config, overrides)
    given = Location.parse(points, settings.storage)
    written = None if out is None else fresh(Location.parse(out, settings.storage), given, place, overwrite)
    facts, text = carry(
        Collection(place, version, settings.storage),
        source,
        targets,
        given,
        settings.storage,
        instances=instances,
        from_instance=from_instance,
    )
    if written is not None:
        written.write_bytes(text.encode())
    elif not as_json:
        sys.stdout.write(text)

    def show(console: Console) -> None:
        if out is not None:
            console.print(
                f"{counted(facts['points'], 'point')} written to {out}", highlight=False, soft_wrap=True
            )
        if facts["doubtful"]:  # not on stdout, where the points may be
            sys.stderr.write(DOUBTFUL)

    return facts, show


@answers
def propagate(
    destination: Destination,
    out: Annotated[
        str, typer.Option("--out", metavar="DIR", help="Folder or URL to write to; of a video also NAME.mp4.")
    ],
    sources: Annotated[
        list[str] | None,
        typer.Option("--from", metavar="IMAGE", help="The image that was painted on; with its --layer."),
    ] = None,
    layers: Annotated[
        list[str] | None, typer.Option("--layer", metavar="EDIT.png", help="RGBA, of the image's size.")
    ] = None,
    masks: Annotated[
        list[str] | None, typer.Option("--mask", metavar="MASK.png", help="Grey, or with alpha.")
    ] = None,
    labels: Annotated[
        list[str] | None, typer.Option("--labels", metavar="LABELS.png", help="A number for every pixel.")
    ] = None,
    atlas: Annotated[
        str | None,
        typer.Option("--atlas", metavar="CLUSTER", help="It was painted on this cluster's average."),
    ] = None,
    coco: Annotated[
        str | None, typer.Option("--coco", metavar="FILE.json", help="Keypoints, boxes, outlines, masks.")
    ] = None,
    tps: Annotated[
        str | None, typer.Option("--tps", metavar="FILE.tps", help="Landmarks and curves.")
    ] = None,
    deeplabcut: Annotated[
        str | None,
        typer.Option("--deeplabcut", metavar="FILE.csv", help="Body parts, as CollectedData_*.csv or .h5."),
    ] = None,
    sleap: Annotated[
        str | None, typer.Option("--sleap", metavar="FILE.slp", help="Instances on a list of images.")
    ] = None,
    yolo: Annotated[
        str | None, typer.Option("--yolo", metavar="data.yaml", help="Poses, boxes or outlines, in labels/.")
    ] = None,
    via: Annotated[
        str | None, typer.Option("--via", metavar="FILE.json", help="Regions of the VGG Image Annotator.")
    ] = None,
    labelme: Annotated[
        str | None, typer.Option("--labelme", metavar="DIR", help="A folder of labelme's .json files.")
    ] = None,
    points: Annotated[
        str | None,
        typer.Option("--points", metavar="IN.csv", help="x and y on a frame, drawn on its whole video."),
    ] = None,
    targets: Annotated[
        list[str] | None,
        typer.Option("--to", metavar="IMAGE", help=f"{IMAGE} May be repeated; absent: all of the cluster."),
    ] = None,
    fade: Annotated[bool, typer.Option("--fade", help="Multiply alpha by confidence.")] = False,
    composite: Annotated[
        bool,
        typer.Option("--composite", help="Write the images with the layer on them; in clips, masks too."),
    ] = False,
    with_images: Annotated[
        bool, typer.Option("--with-images", help="With --coco: copy the images to DIR/data, for FiftyOne.")
    ] = False,
    overwrite: Overwrite = False,
    version: Version = None,
    config: Config = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> Any:
    """Carry an edit, a mask, labels or annotations from one image, or several, to all of their cluster."""
    from congeal.results.collection import Collection
    from flows.propagation.edits import Request, carry_out

    place, settings = opened(destination, config, overrides)
    request = Request(
        painted={"layer": layers or [], "mask": masks or [], "labels": labels or []},
        sources=sources or [],
        atlas=atlas,
        coco=coco,
        tps=tps,
        deeplabcut=deeplabcut,
        sleap=sleap,
        yolo=yolo,
        via=via,
        labelme=labelme,
        points=points,
    )
    facts = carry_out(
        Collection(place, version, settings.storage),
        request,
        out,
        settings.storage,
        to=_named(targets),
        fade=fade,
        composite=composite,
        with_images=with_images,
        overwrite=overwrite,
    )

    def show(console: Console) -> None:
        images = counted(facts["images"], "image")
        sure = facts["median_confidence"]
        carried = "nothing was carried" if sure is None else f"median confidence {sure}"
        what = f"{images}, {carried}: {shown_place(facts['out'])}"
        console.print(what, highlight=False, soft_wrap=True, markup=False)
        for heading, lines in _left_out(facts):
            console.print(heading, highlight=False, soft_wrap=True, markup=False)
            for line in lines[:SHOWN]:
                console.print(f"  {line}", highlight=False, soft_wrap=True, markup=False)
            if len(lines) > SHOWN:
                console.print(f"  and {len(lines) - SHOWN:,} more: --json names them", highlight=False)

    return facts, show


def _left_out(facts: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """What was left out: headings, and a line for each."""
    misfits = [f"{one['image']}: {one['reason']}" for one in facts["left_out_images"]]
    copies = [f"{one['image']}: the same as {one['same_as']}" for one in facts["left_out_duplicates"]]
    marks = [
        ", ".join(filter(None, (one["name"], one["image"]))) + f": {one['reason']}"
        for one in facts.get("left_out_annotations", ())
    ]
    unseen = [f"{one['image']}: {one['reason']}" for one in facts.get("unseen", ())]
    nameless = [f"{one['image']}: {one['reason']}" for one in facts.get("nameless", ())]
    beyond = facts.get("nothing_to_see", [])
    taken = [f"{name}: {uri}" for name, uri in facts.get("taken_for", {}).items()]
    parts = [
        ("left out, as not fitting the atlas", "image", misfits),
        ("left out, as copies of others", "file", copies),
        ("not looked at to tell individuals apart", "image", unseen),
        ("left out, as they have no labels of their own", "image", nameless),
        ("left out, as nothing of it would lie there", "image", beyond),
        ("given back unchanged, not carried", "mark", marks),
        ("with another path in the file", "image", taken),
    ]
    return [(f"{counted(len(lines), what)} {said}", lines) for said, what, lines in parts if lines]


def _named(targets: Sequence[str] | None) -> Any:
    return list(targets) if targets and list(targets) != ["all"] else "all"
