"""`make demo`: the main job on a small collection, and where to look afterwards."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = "weights/vit_small_patch14_dinov2.dav2.fp16.safetensors"
COLLECTION = "data/pf_willow"  # four kinds of thing, forty photographs, in folders that are not looked at


def shared() -> Path | None:
    """The folder with weights and photographs: CONGEAL_SHARED, or `shared` beside the checkout."""
    folder = Path(os.environ.get("CONGEAL_SHARED") or ROOT.parent / "shared")
    return folder if folder.is_dir() else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", help="a folder or URL of images of your own")
    parser.add_argument("--destination", default=str(ROOT / "demo-output"))
    asked = parser.parse_args()
    folder = shared()
    if asked.images:
        source = asked.images
        print(f"demo: your images in {source}")
    elif folder is not None and (folder / COLLECTION).is_dir():
        source = str(folder / COLLECTION)
        print(f"demo: the forty photographs of {source}")
    else:
        print(
            "demo: there is no collection at hand: name a folder of images with `make demo IMAGES=folder`, "
            "or set CONGEAL_SHARED to a folder that holds data/pf_willow and weights/.",
            file=sys.stderr,
        )
        return 2
    options = []
    if folder is not None and (folder / WEIGHTS).is_file():
        options = ["--set", f"features.weights={folder / WEIGHTS}"]
        print(f"demo: DINOv2 weights from {folder / WEIGHTS}")
    else:
        print("demo: DINOv2 weights from timm's hub (set features.weights to use a file)")
    command = [str(Path(sys.executable).parent / "congeal"), "run", source, asked.destination, *options]
    done = subprocess.run(command, check=False).returncode
    if done == 0:
        show(asked.destination)
    return done


def show(destination: str) -> None:
    """What was found: clusters, rows of the index, points carried over, where the pictures are."""
    import congeal

    collection = congeal.open(destination)
    clusters = collection.clusters
    print("\nclusters")
    print(
        clusters[["cluster_id", "status", "n_images", "n_outliers", "margin", "seconds"]].to_string(
            index=False
        )
    )
    if clusters.empty:
        return
    first = clusters["cluster_id"].iloc[0]
    rows = collection.correspondences(cluster=first)
    print("\nthree lines of the correspondence index")
    print(rows.sort_values("confidence", ascending=False).head(3).to_string(index=False))
    images = collection.images
    members = images[(images["cluster_id"] == first) & (images["status"] == "ok")]["uri"].tolist()
    best = rows[rows["image_id"] == images.set_index("uri").loc[members[0], "image_id"]].nlargest(
        2, "confidence"
    )
    if len(members) > 1 and not best.empty:
        carried = collection.transfer(members[0], best[["x", "y"]].to_numpy(), members[1])
        print(f"\ntwo points of {members[0]}, carried to {members[1]}")
        print(carried.round(2).to_string(index=False))
    print(f"\npictures: {destination}/stages/atlases/*/*/*/previews/*.png")


if __name__ == "__main__":
    sys.exit(main())
