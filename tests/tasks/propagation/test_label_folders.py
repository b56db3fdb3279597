from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pyarrow as pa

from congeal.results.collection import Collection
from infra.storage.location import Location
from tasks.propagation.label_folders import yolo_labels


class Images:
    def __init__(self, **status: str) -> None:
        self._status = {name.replace("_", "."): word for name, word in status.items()}

    def table(self, name: str, **asked: Any) -> pa.Table:
        assert name == "images"
        return pa.table({"uri": list(self._status), "status": list(self._status.values())})


def test_images_that_differ_in_the_ending_alone_have_no_labels_but_stop_no_other(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    for name in ("a", "b", "c"):
        (tmp_path / "labels" / f"{name}.txt").touch()
    images = Images(a_jpg="ok", a_png="ok", b_jpg="ok", b_tif="failed", c_jpg="ok")
    found = yolo_labels(Location.parse(str(tmp_path)), cast(Collection, images))
    assert found.images_of == {"labels/b.txt": "b.jpg", "labels/c.txt": "c.jpg"}
    assert found.images_in_doubt == dict.fromkeys(
        ["a.jpg", "a.png"], "a.jpg and a.png would have one label file"
    )
