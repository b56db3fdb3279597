"""Images that are no part of a collection, mapped to one of its clusters: `congeal fit`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.console import Console

from flows.console.quiet_libraries import pyarrow_by_itself
from flows.console.terminal import Config, Destination, Json, Overrides, Version, answers, opened

if TYPE_CHECKING:
    from congeal.results.collection import Collection
    from congeal.results.new_images import NewImage, Way

MOST_NAMED = 5  # clusters to choose from


@answers
def fit(
    destination: Destination,
    images: Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Files; paths or URLs.")],
    cluster: Annotated[
        str | None, typer.Option("--cluster", metavar="ID", help="Needed where there are several.")
    ] = None,
    way: Annotated[
        str,
        typer.Option(
            "--with",
            metavar="WAY",
            help="network, network+steps or steps; auto: steps, which all have.",
        ),
    ] = "auto",
    out: Annotated[
        str | None, typer.Option("--out", metavar="DIR", help="Folder or URL for the maps, an .npz an image.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Map images unlike the cluster, too.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are there already.")
    ] = False,
    version: Version = None,
    config: Config = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> Any:
    """Map images that are no members to a cluster; the collection stays as it is."""
    pyarrow_by_itself()
    from congeal.errors import ImageError
    from congeal.results.collection import Collection
    from infra.errors import UserError
    from infra.storage.location import Location

    place, settings = opened(destination, config, overrides)
    collection = Collection(place, version, settings.storage)
    chosen = collection.cluster(cluster or _only(collection))
    folder = None if out is None else Location.parse(out, settings.storage)
    written = [] if folder is None else _files(folder, images, overwrite)
    rows: list[dict[str, Any]] = []
    device, weights = settings.features.device, settings.features.weights
    # One is the default: then it is as the run had it.
    asked = settings.alignment.instances_max if settings.alignment.instances_max > 1 else None
    faults: list[str] = []
    for number, name in enumerate(images):
        row: dict[str, Any] = {"image": name}
        try:
            data = Location.parse(name, settings.storage).read_bytes()
            new = chosen.fit(
                data,
                cast("Way", way),
                force=force,
                weights=weights,
                device=device,
                name=name,
                instances=asked,
            )
            further = [] if folder is None else _beside(folder, written[number], new, overwrite)
        except (ImageError, UserError) as error:
            sentence = str(error)
            if isinstance(error, ImageError):
                sentence = f"{sentence[:1].upper()}{sentence[1:]}."
            faults.append(sentence)
            rows.append({**row, "refused": sentence})
            continue
        row |= {
            column: getattr(new, column)
            for column in ("cluster_id", "way", "score", "mirrored", "residual", "coverage", "unlike")
        }
        row["instances"] = 1 + len(new.further)
        if written:
            for instance, one in enumerate([written[number], *further]):
                one.write_bytes(new.encoded(instance))
            row["maps"] = written[number].url.removeprefix("file://")
            row["further_maps"] = [one.url.removeprefix("file://") for one in further]
        rows.append(row)
    if len(faults) == len(images):
        raise UserError(faults[0])
    facts = {"destination": str(place), "cluster_id": chosen.cluster_id, "images": rows}

    def show(console: Console) -> None:
        for row in rows:
            console.print(_said(row), highlight=False, soft_wrap=True, markup=False)

    return facts, show


def _said(row: dict[str, Any]) -> str:
    """What became of one image, in a line."""
    if row.get("refused"):
        return str(row["refused"])
    if row["unlike"]:
        fits = f"unlike the cluster {row['cluster_id']} ({row['unlike']})"
    else:
        fits = f"fits the cluster {row['cluster_id']}, {row['score']:.0%} of the matches that are usual in it"
    several = f", {row['instances']} of the kind in it" if row["instances"] > 1 else ""
    covers = f"{row['coverage']:.0%} of the atlas in sight"
    return f"{row['image']}: {fits}; {covers}, mapped by {row['way']}{several}"


def _only(collection: Collection) -> str:
    from infra.errors import UserError

    names = collection.table("clusters", as_="arrow")["cluster_id"].to_pylist()
    if len(names) != 1:
        some = f"{', '.join(names[:MOST_NAMED])}{', …' if len(names) > MOST_NAMED else ''}"
        raise UserError(
            f"There are {len(names)} clusters ({some}): say with --cluster which one the images belong to."
            if names
            else "There is no cluster to map images to: `congeal status` says what has become of the images."
        )
    return str(names[0])


def _files(folder: Any, images: list[str], overwrite: bool) -> list[Any]:
    """Where the maps of each image go; UserError for names that meet, or are taken."""
    from pathlib import PurePosixPath

    from infra.errors import UserError

    names = [PurePosixPath(name.replace("\\", "/")).stem + ".npz" for name in images]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise UserError(f"Two images would be written as {name}: fit them one after the other.")
        if not overwrite and (folder / name).exists():
            raise UserError(f"The file {folder / name} is there already: say --overwrite.")
    return [folder / name for name in names]


def _beside(folder: Any, place: Any, new: NewImage, overwrite: bool) -> list[Any]:
    """Where the maps of further instances go, NAME.instance-1.npz beside NAME.npz; UserError if taken."""
    from infra.errors import UserError

    name = place.url.rpartition("/")[2].removesuffix(".npz")
    places = [folder / f"{name}.instance-{number}.npz" for number in range(1, 1 + len(new.further))]
    for one in places:
        if not overwrite and one.exists():
            raise UserError(f"The file {one} is there already: say --overwrite.")
    return places
