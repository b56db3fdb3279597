"""An image is taken out of a destination, and nothing of it is left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from growing import Story, by_uri, grown, made, retold
from interrupted_writes import killed_after
from sample_runs import folder, photographs, run, tiny
from typer.testing import CliRunner

import congeal
from flows.cli import app
from infra.errors import UserError
from infra.ledger.publications import versions
from infra.ledger.tombstones import LIST
from infra.storage.location import Location
from tasks.maintenance.forget import forget, what_is_left
from tasks.maintenance.verify import verify


class Place(NamedTuple):
    source: Path
    destination: Path

    @property
    def location(self) -> Location:
        return Location.parse(self.destination)

    def sound(self) -> bool:
        names = [name.partition("-")[0] for name in versions(self.location)]
        return all(verify(self.location, version=name)["faults"] == [] for name in names)


@pytest.fixture
def place(story: Story, tmp_path: Path) -> Place:
    return Place(*retold(story, tmp_path))


def id_of(place: Place, uri: str) -> str:
    return str(congeal.open(place.destination).find(uri)["image_id"])


def left_anywhere(destination: Path, *words: str) -> list[str]:
    """Files whose bytes hold one of the words, as they are."""
    files = [path for path in destination.rglob("*") if path.is_file()]
    return [str(path) for path in files for word in words if word.encode() in path.read_bytes()]


@pytest.mark.slow
def test_a_member_goes_from_all_versions_and_its_cluster_is_solved_anew(place: Place, weights: Path) -> None:
    image, cluster = id_of(place, "a/0.png"), by_uri(congeal.open(place.destination))["a/0.png"]
    before = congeal.open(place.destination)
    other = by_uri(before)["b/0.png"]
    units = before.clusters.set_index("cluster_id")["atlas_unit"]
    rows = before.correspondences(cluster=other)
    facts = forget(place.location, ["a/0.png"])
    assert (facts["images"], facts["files"], facts["clusters_to_solve"]) == (1, 1, [cluster])
    assert place.sound()
    assert what_is_left(place.location, ["a/0.png", image]) == []
    assert left_anywhere(place.destination, image, "a/0.png") == []
    for version in (1, 2):
        collection = congeal.open(place.destination, version=version)
        assert "a/0.png" not in set(collection.images["uri"])
        assert len(collection.images) == collection.publication.counts["ok"]
        assert not (collection.alignments["image_id"] == image).any()
        assert collection.pictures(cluster) == {}
        assert collection.atlas(cluster).average is None
        assert collection.maps("a/1.png").forward.shape[-1] == 2
        with pytest.raises(UserError, match=r"was forgotten. The next `congeal run` solves it anew"):
            collection.cluster(cluster).fit(place.source / "b/0.png")
    # It is in the source still, and is not taken in again; the others keep what they have.
    done = made(run(place.source, place.destination, grown(weights)))
    assert (done["features"], done["atlases"]) == (0, 1)
    after = congeal.open(place.destination)
    assert "a/0.png" not in set(after.images["uri"])
    assert after.clusters.set_index("cluster_id").loc[other, "atlas_unit"] == units[other]
    assert after.correspondences(cluster=other).equals(rows)
    assert after.pictures(cluster)
    assert np.any(after.atlas(cluster).features)
    assert run(place.source, place.destination, grown(weights))["up_to_date"]
    assert what_is_left(place.location, ["a/0.png", image]) == []
    assert place.sound()
    # Other bytes make it another image, and the same under another name do not.
    (place.source / "renamed.png").write_bytes((place.source / "a/0.png").read_bytes())
    run(place.source, place.destination, grown(weights))
    assert "renamed.png" not in set(congeal.open(place.destination).images["uri"])


def test_after_an_outlier_there_is_nothing_to_do(place: Place, weights: Path) -> None:
    run(place.source, place.destination, grown(weights))  # the source has another place than the story's
    image = id_of(place, "noise.png")
    assert forget(place.location, [image])["clusters_to_solve"] == []
    assert run(place.source, place.destination, grown(weights))["up_to_date"]
    assert place.sound()
    # Once more costs nothing, and says so.
    assert forget(place.location, [image])["units"] == 0


def test_the_commands_say_what_they_did(place: Place) -> None:
    def call(*arguments: object) -> Any:
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    answer = json.loads(call("forget", place.destination, "b/0.png", "--json").stdout)
    assert answer["ok"]
    assert answer["images"] == 1
    proof = call("verify", place.destination, "--forgotten", "--name", "b/0.png")
    assert proof.exit_code == 0, proof.stdout
    (place.destination / "notes.txt").write_text("b/0.png was here")
    proof = call("verify", place.destination, "--forgotten", "--name", "b/0.png")
    assert proof.exit_code == 1
    assert "holds the name 'b/0.png'" in proof.stdout


@pytest.mark.slow
def test_a_row_of_a_list_goes_with_its_image(tmp_path: Path, weights: Path) -> None:
    folder(tmp_path / "photos", photographs(3))
    rows = [f"photos/{name},{name[0]} of mine" for name in photographs(3)]
    (tmp_path / "list.csv").write_text("\n".join(["uri,kind", *rows]) + "\n")
    out = tmp_path / "out"
    settings = tiny(weights, "clusters.method=column:kind", "report.enabled=false")
    run(tmp_path / "list.csv", out, settings)
    forget(Location.parse(out), ["photos/a/0.png"])
    assert what_is_left(Location.parse(out), ["photos/a/0.png"]) == []
    assert verify(Location.parse(out))["faults"] == []
    images = congeal.open(out).images.set_index("uri")
    assert images["kind"].to_dict() == {row.split(",")[0]: row.split(",")[1] for row in rows[1:]}


@pytest.mark.slow
@pytest.mark.parametrize("key", ["uri", "image_id"])
def test_a_table_that_changes_does_not_bring_a_forgotten_row_back(
    tmp_path: Path, weights: Path, key: str
) -> None:
    """Nor does it name one among the images that have no row, or the rows that have no image."""
    source = folder(tmp_path / "photos", photographs(3) | {"c.png": photographs(4)["a/3.png"]})
    out, table = tmp_path / "out", tmp_path / "more.csv"
    asked = tiny(weights, "report.enabled=false", f"source.columns={table}")
    run(source, out, tiny(weights, "report.enabled=false"))
    keys = dict(congeal.open(out).images.set_index("uri")[key].reset_index().values) if key != "uri" else {}
    known = [name for name in photographs(3) if name != "a/2.png"]

    def write(kind: str) -> None:
        rows = [f"{keys.get(name, name)},{kind} {number}" for number, name in enumerate(known)]
        table.write_text("\n".join([f"{key},kind", *rows, "0,none"]) + "\n")

    write("first")
    run(source, out, asked)
    gone = ["a/0.png", "a/2.png", "b/1.png"]
    ids = [str(congeal.open(out).find(uri)["image_id"]) for uri in gone]
    forget(Location.parse(out), gone)
    assert what_is_left(Location.parse(out), [*gone, *ids]) == []
    (source / "b/1.png").unlink()
    write("second")
    facts = run(source, out, asked)
    assert what_is_left(Location.parse(out), [*gone, *ids]) == []
    assert verify(Location.parse(out))["faults"] == []
    images = congeal.open(out).images.set_index("uri")["kind"]
    assert images.dropna().to_dict() == {
        name: f"second {number}" for number, name in enumerate(known) if name not in gone
    }
    assert facts["own_columns"]["without_row"] == {"count": 1, "first": ["c.png"]}
    assert facts["own_columns"]["without_images"]["count"] == (2 if key == "uri" else 1)
    # Other bytes under the old name make it another image, with the row of that name.
    if key == "uri":
        (source / "a/0.png").write_bytes(photographs(9)["b/8.png"])
        run(source, out, asked)
        assert congeal.open(out).images.set_index("uri")["kind"]["a/0.png"] == "second 0"


def test_an_id_that_is_left_is_found_without_being_named(place: Place) -> None:
    image = id_of(place, "b/0.png")
    forget(place.location, ["b/0.png"])
    (place.destination / "report").mkdir()
    (place.destination / "report/index.js").write_text(f'ids(["{image}"])')
    (fault,) = what_is_left(place.location)
    assert "report/index.js holds the id of a forgotten image" in fault


@pytest.mark.parametrize(
    "writes",
    [
        pytest.param(1, marks=pytest.mark.slow),
        pytest.param(4, marks=pytest.mark.slow),
        16,
        pytest.param(30, marks=pytest.mark.slow),
        pytest.param(60, marks=pytest.mark.slow),
    ],
)
def test_a_kill_at_any_moment_is_taken_up(place: Place, weights: Path, writes: int) -> None:
    image = id_of(place, "a/1.png")
    with killed_after(writes) as kill:
        forget(place.location, ["a/1.png"])
    assert kill.happened
    if (place.destination / LIST).exists():
        with pytest.raises(UserError, match="did not come to its end"):
            run(place.source, place.destination, grown(weights))
        forget(place.location, [])
    else:
        forget(place.location, ["a/1.png"])
    assert what_is_left(place.location, ["a/1.png", image]) == []
    assert place.sound()


def test_what_cannot_be_forgotten(place: Place, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"No version of .* has the image 'nothing.png'"):
        forget(place.location, ["a/1.png", "nothing.png"])
    assert "a/1.png" in set(congeal.open(place.destination).images["uri"])
    with pytest.raises(UserError, match="Nothing is published"):
        forget(Location.parse(tmp_path / "empty"), ["a/1.png"])
    assert forget(place.location, [])["units"] == 0
