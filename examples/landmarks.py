"""From a finished run to landmarks on every image, their shapes, and a picture of them.

Run it as it is, or cell by cell in an editor or notebook that knows `# %%`:

    DESTINATION=congealed/ OUT=example/ python examples/landmarks.py

It writes landmarks.png, landmarks.csv and landmarks.tps into OUT.
"""

# %% Open what a run has published. Nothing is read yet.
import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import congeal
from congeal.transfer.formats import tps

collection = congeal.open(os.environ.get("DESTINATION", "congealed/"))
folder = Path(os.environ.get("OUT", "example/"))
folder.mkdir(parents=True, exist_ok=True)
print(collection)

# %% The largest cluster that is aligned, and the image at its middle: the one to mark.
aligned = collection.clusters.query("status == 'ok'")
if aligned.empty:
    raise SystemExit("No cluster of this collection is aligned: see status and error in the table clusters.")
cluster = aligned.sort_values(["n_images", "cluster_id"], ascending=[False, True]).iloc[0]
marked = collection.find(cluster["medoid_image_id"])
name = marked["uri"]
print(f"{cluster['n_images']} images in {cluster['cluster_id']}; marked: {name}")
print("looks most like it:", ", ".join(collection.nearest(name, 3)["neighbour"]))

# %% Landmarks on that image. Here: five of the surest points of the index, far apart from each other. In your
# work: points that you click, in pixels, x to the right and y down.
index = collection.correspondences(image=name)
surest = index[index["visible"]].sort_values(["confidence", "point_id"], ascending=[False, True]).head(40)
candidates = surest[["x", "y"]].to_numpy()
chosen = [0]
while len(chosen) < min(5, len(candidates)):
    gaps = np.linalg.norm(candidates[:, None] - candidates[chosen], axis=2).min(1)
    chosen.append(int(gaps.argmax()))
points = candidates[chosen]
names = [f"p{number}" for number in range(len(points))]

# %% The same landmarks on every image of the cluster, in one tidy table. Sort by doubt.
landmarks = collection.landmarks(points, name, names=names)
print(landmarks.sort_values("confidence").head())
landmarks.to_csv(folder / "landmarks.csv", index=False)

# %% Their shapes: place, turn and size taken out, and the directions in which they vary most. Rigid maps
# carry one shape everywhere: then there are sizes, and no components.
rigid = cluster["deformation"] == "rigid"
measured = collection.shapes(landmarks, components=0 if rigid else None)
print(measured.table.head())
print("share of the variance:", np.round(measured.space.share[:3], 3))
if rigid:
    print("The maps of this cluster are rigid: the images differ in pose and size, not in shape.")

# %% A picture: every image with its landmarks, sure ones filled.
COLOURS = ("#e41a1c", "#377eb8", "#4daf4a", "#ff7f00", "#984ea3")
SIDE, COLUMNS = 220, 6
images = landmarks["image"].unique()[:24]
rows = -(-len(images) // COLUMNS)
sheet = Image.new("RGB", (COLUMNS * SIDE, rows * SIDE), "white")
for number, image in enumerate(images):
    picture = Image.fromarray(collection.image(image))
    shrink = SIDE / max(picture.size)
    picture = picture.resize((max(1, round(picture.width * shrink)), max(1, round(picture.height * shrink))))
    draw = ImageDraw.Draw(picture)
    part = landmarks[landmarks["image"] == image]
    # (0, 0) is the centre of the top-left pixel.
    shrunk = (part[["x", "y"]].to_numpy() + 0.5) * shrink - 0.5
    for colour, (x, y), seen in zip(COLOURS, shrunk, part["visible"], strict=False):
        draw.ellipse((x - 5, y - 5, x + 5, y + 5), fill=colour if seen else None, outline=colour, width=2)
    sheet.paste(picture, (number % COLUMNS * SIDE, number // COLUMNS * SIDE))
sheet.save(folder / "landmarks.png")
print(f"look at {folder / 'landmarks.png'}")

# %% For tools of geometric morphometrics: a TPS file, whose y points up.
heights = {row["uri"]: row["height"] for row in collection.members(cluster["cluster_id"])}
specimens = [
    tps.Specimen(image, tps.flipped(xy, heights[image]), name=str(number))
    for number, (image, xy) in enumerate(zip(measured.images, measured.landmarks, strict=True))
]
(folder / "landmarks.tps").write_bytes(tps.write(specimens))
print(f"{len(specimens)} specimens in {folder / 'landmarks.tps'}")
