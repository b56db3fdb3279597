from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from known_index import known_index
from sample_runs import folder, photographs, run, tiny

from congeal.results.schema.dictionary import dictionary
from congeal.results.schema.tables import TABLES
from infra.errors import UserError
from infra.ledger.publications import published
from infra.storage.location import Location
from tasks.publication.manifest import DICTIONARY, NAME, described, manifest


def test_it_names_every_file_that_counts(finished: Path) -> None:
    destination = finished / "destination"
    facts = json.loads((destination / "published/tables.json").read_bytes())
    assert list(facts["tables"]) == list(TABLES)
    for name, table in facts["tables"].items():
        for file in table["files"]:
            path = destination / file["path"]
            assert path.stat().st_size == file["bytes"]
            assert pq.read_metadata(path).num_rows == file["rows"]
            assert path.name == f"{name}.parquet"
            # The dictionary lies beside the data.
            assert f"## {name}\n" in (path.parent / "dictionary.md").read_text()
        there = {path.as_posix() for path in destination.glob(f"stages/index/*/*/*/{name}.parquet")}
        assert {(destination / file["path"]).as_posix() for file in table["files"]} == there


def test_it_is_of_the_current_version_and_made_again(tmp_path: Path, weights: Path) -> None:
    source, place = folder(tmp_path / "source", photographs(2)), Location.parse(tmp_path / "out")
    run(source, place, tiny(weights))
    first = (place / "published/tables.json").read_bytes()
    folder(source, {"c/new.png": photographs(3)["a/2.png"]})
    run(source, place, tiny(weights))
    second = (place / "published/tables.json").read_bytes()
    assert first != second
    (place / "published/tables.json").delete()
    facts = run(source, place, tiny(weights))
    # It is no new version: only what describes it was missing.
    assert not facts["published"]
    assert facts["version"] == 2
    assert (place / "published/tables.json").read_bytes() == second
    assert run(source, place, tiny(weights))["up_to_date"]


def test_it_is_the_same_every_time(memory_location: Location) -> None:
    publication = known_index(memory_location)
    assert described(memory_location, publication)
    assert manifest(memory_location, publication) == manifest(memory_location, publication)
    (memory_location / "published/tables.json").write_bytes(b"{}")
    assert not described(memory_location, publication)


def test_a_unit_that_is_gone(memory_location: Location) -> None:
    known_index(memory_location)
    publication = published(memory_location)
    assert publication is not None
    (memory_location / f"stages/index/{publication.units['index'][0]}").delete()
    with pytest.raises(UserError, match="vanished while it was used: run again"):
        manifest(memory_location, publication)


def test_one_that_an_earlier_schema_wrote_describes_its_files_in_its_own_words(tmp_path: Path) -> None:
    place = Location.parse(tmp_path)
    publication = known_index(place)
    file = place / "published/tables.json"
    facts = json.loads(file.read_bytes())
    facts["tables"]["alignments"]["columns"][0]["description"] = "as it was said once"
    file.write_bytes(json.dumps(facts).encode())
    assert not described(place, publication)
    file.write_bytes(json.dumps(facts | {"schema_version": 2}).encode())
    assert described(place, publication)
    facts["tables"]["alignments"]["files"].pop()
    file.write_bytes(json.dumps(facts | {"schema_version": 2}).encode())
    assert not described(place, publication)
    file.write_bytes(b'{"schema_version": 2}')
    assert not described(place, publication)


def test_the_digest_of_the_dictionary_is_that_of_this_version() -> None:
    text = json.dumps(dictionary(), indent=1).encode() + b"\n"
    assert hashlib.sha256(text).hexdigest() == DICTIONARY, "DICTIONARY in tasks/publication/manifest.py"


@pytest.mark.parametrize("change", [b" ", b'"another": 1, '])
def test_a_manifest_that_says_something_else_is_not_taken_for_it(
    finished: Path, change: bytes, tmp_path: Path
) -> None:
    place = Location.parse(shutil.copytree(finished / "destination", tmp_path / "destination"))
    publication = published(place)
    assert publication is not None
    assert described(place, publication)
    text = (place / NAME).read_bytes()
    (place / NAME).write_bytes(text.replace(b"{", b"{" + change, 1))
    assert not described(place, publication)
