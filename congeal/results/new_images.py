"""Images that are no part of a collection, mapped to one of its clusters; nothing is written to it."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from congeal.errors import CongealError, ImageError
from congeal.results.argument_checks import count_of, points_of
from congeal.results.new_image_fitting import NETWORKS, AtlasFit, FittedImage, backbone_of
from congeal.results.published_version import Published
from infra.errors import UserError
from infra.ledger.commits import outputs_location
from infra.storage.location import Location

if TYPE_CHECKING:
    from congeal.geometry.frames import Frame
    from congeal.imaging.image_inputs import ImageInput
    from congeal.transfer.points import Maps, Transferred

Way = Literal["auto", "network", "network+steps", "steps"]
WAYS = ("auto", "network", "network+steps", "steps")
MAPS = ("forward", "forward_confidence", "backward", "backward_confidence")


@dataclass(frozen=True)
class NewImage:
    """An image mapped to a cluster that it is no member of.

    Attributes:
        maps: its dense maps both ways, as of `Collection.maps`.
        cluster_id: the cluster.
        version: of the collection.
        way: how it was mapped: "network", "network+steps" or "steps".
        score: matches with members that agree with one pose, as a share of what members usually reach.
        mirrored: whether it shows the mirrored atlas.
        residual, coverage: as of the table alignments.
        unlike: why it is unlike the cluster, if it was forced; None: it fits.
        further: maps of further things of the kind that it shows, as of `Collection.instances` from 1 on.
    """

    maps: Maps
    cluster_id: str
    version: int
    way: str
    score: float
    mirrored: bool
    residual: float
    coverage: float
    unlike: str | None
    _published: Published = field(repr=False)
    further: tuple[Maps, ...] = ()

    def transfer_to(self, target: str, points: npt.ArrayLike, *, instance: int = 0) -> Transferred:
        """Points [k, 2] of this image, in its pixels, carried to a member by its id or path.

        instance: of this image, on which the points are.
        """
        from congeal.transfer.points import transfer

        return transfer(points_of(points), self._maps(instance), self._member(target))

    def transfer_from(self, source: str, points: npt.ArrayLike, *, instance: int = 0) -> Transferred:
        """Points [k, 2] of a member, by its id or path, carried to this image, or to an instance in it."""
        from congeal.transfer.points import transfer

        return transfer(points_of(points), self._member(source), self._maps(instance))

    def _maps(self, instance: int) -> Maps:
        every, instance = (self.maps, *self.further), count_of(instance, "an instance")
        if not 0 <= instance < len(every):
            raise UserError(f"The image has no instance {instance}: it has {len(every)}, counted from 0.")
        return every[instance]

    def _member(self, image: str) -> Maps:
        row = self._published.aligned(image)
        if row["cluster_id"] != self.cluster_id:
            raise UserError(f"The image {image!r} is in cluster {row['cluster_id']}, not {self.cluster_id}.")
        self._published.require_aligned(self.cluster_id)
        return self._published.maps(row)

    def encoded(self, instance: int = 0) -> bytes:
        """The bytes of an .npz file: MAPS as of `Collection.maps`, and size, cluster_id; of one instance."""
        buffer = io.BytesIO()
        maps = self._maps(instance)
        frame = maps.frame
        arrays: dict[str, Any] = {name: np.asarray(getattr(maps, name)) for name in MAPS}
        arrays["size"] = np.array([frame.width, frame.height])
        np.savez(buffer, **arrays, cluster_id=np.array(self.cluster_id))
        return buffer.getvalue()


def read_maps(data: bytes) -> tuple[Maps, str]:
    """Maps that `NewImage.encoded` wrote, and their cluster; CongealError for anything else.

    Nothing is unpickled.
    """
    import zipfile

    from congeal.geometry.frames import Frame
    from congeal.transfer.points import Maps

    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            arrays = {name: np.asarray(stored[name], np.float32) for name in MAPS}
            width, height = (int(value) for value in stored["size"])
            cluster = str(stored["cluster_id"])
        return Maps(Frame(width, height), **arrays), cluster
    except (ValueError, KeyError, OSError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise CongealError("this is no file of maps: congeal fit writes them") from error


@dataclass(frozen=True)
class ClusterFit:
    """A cluster that new images are fitted to.

    Attributes:
        cluster_id: the cluster.
        has_networks: whether networks were trained for it.
        training: what was tried with alignment.method=neural, which maps were kept and why; else empty.
    """

    cluster_id: str
    _published: Published = field(repr=False)
    _folder: Location = field(repr=False)
    has_networks: bool = False
    training: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, published: Published, cluster: str) -> ClusterFit:
        """A cluster by its id; UserError if there is none, or nothing can be carried within it."""
        row = published.require_aligned(cluster)
        if row["atlas_unit"] is None:
            raise UserError(f"The cluster {cluster} has no atlas.")
        marker = published.tables.marker("atlases", row["atlas_unit"])
        return cls(
            cluster,
            published,
            outputs_location(published.place, marker),
            NETWORKS in marker.outputs,
            dict(marker.record.get("networks", {})),
        )

    def fit(
        self,
        image: ImageInput,
        way: Way = "auto",
        *,
        force: bool = False,
        weights: str | bytes | None = None,
        device: str = "auto",
        name: str | None = None,
        instances: int | None = None,
    ) -> NewImage:
        """Map an image that is no member; the collection stays as it is.

        Args:
            image: a path, the bytes of an image file, a Pillow image, or uint8 [h, w, 3] or [h, w].
            way: "steps": the direct solver's steps with the atlas fixed; "network": one pass of the cluster's
                networks; "network+steps": the networks, then a few steps; "auto": steps, which every cluster
                has.
            force: map an image that is unlike the cluster, too.
            weights: of the backbone, where they no longer lie where the run found them: a path or the bytes
                of a safetensors file.
            device: "auto", "cpu", "cuda".
            name: what the image is called in sentences; None: its path.
            instances: most things of the kind that are mapped in it; None: as in the run
                (alignment.instances_max). An atlas of windows is of one thing.

        Raises:
            UserError: if the image is unlike the cluster (with its score), the cluster has no networks or,
                since an image was forgotten, no template, or the backbone is not the run's.
            ImageError: if the image cannot be read; it says which.
        """
        names = None if name is None else [name]
        return self.fit_all(
            [image], way, force=force, weights=weights, device=device, names=names, instances=instances
        )[0]

    def fit_all(
        self,
        images: Sequence[ImageInput],
        way: Way = "auto",
        *,
        force: bool = False,
        weights: str | bytes | None = None,
        device: str = "auto",
        names: Sequence[str] | None = None,
        instances: int | None = None,
    ) -> list[NewImage]:
        """Several images, each on its own; the arguments and errors are those of `fit`."""
        from congeal.alignment.outcomes import MEANINGLESS
        from congeal.imaging.image_inputs import read_image, read_square

        if way not in WAYS:
            raise UserError(f"New images are mapped by {', '.join(WAYS)}, not {way!r}.")
        chosen = "steps" if way == "auto" else way
        if chosen != "steps" and not self.has_networks:
            raise UserError(
                f"The cluster {self.cluster_id} has no networks: fit with steps, or run with "
                "alignment.method=neural."
            )
        backbone = backbone_of(self._published, weights, device)
        settings = self._published.publication.settings
        most = settings["alignment"].get("instances_max", 1) if instances is None else instances
        job = AtlasFit(self._folder, settings, backbone, chosen, int(most))
        if not np.any(job.atlas.features):
            raise UserError(
                f"Nothing can be fitted to the cluster {self.cluster_id} in version "
                f"{self._published.publication.number}: an image that its atlas was built from was "
                "forgotten. The next `congeal run` solves it anew."
            )
        found = []
        for number, image in enumerate(images):
            called = _named(image) if names is None else repr(names[number])
            try:
                seen = read_square(image, backbone.image_size, job.value_range)
            except ImageError as error:
                raise type(error)(f"the image {called} is not mapped: {error.reason}") from error
            fitted = job.fitted(seen.square, seen.frame, partial(read_image, image))
            aligned, score = fitted.aligned, fitted.score
            reason = aligned.outlier_reason[0]
            if aligned.status in MEANINGLESS or (reason is not None and not force):
                raise UserError(
                    f"The image {called} is unlike the cluster {self.cluster_id} "
                    f"(score {score:.2f}): {reason}."
                )
            found.append(self._new(fitted, chosen, seen.frame, reason))
        return found

    def _new(self, fitted: FittedImage, way: str, frame: Frame, reason: str | None) -> NewImage:
        from congeal.alignment.image_result import maps_of

        aligned, further = fitted.aligned, fitted.further
        count = 0 if further is None else len(further.scale)
        return NewImage(
            maps=maps_of(aligned, 0, frame),
            cluster_id=self.cluster_id,
            version=self._published.publication.number,
            way=way,
            score=round(fitted.score, 4),
            mirrored=bool(aligned.mirrored[0]),
            residual=float(aligned.residual[0]),
            coverage=float(aligned.coverage[0]),
            unlike=reason,
            _published=self._published,
            further=() if further is None else tuple(maps_of(further, row, frame) for row in range(count)),
        )


def _named(image: Any) -> str:
    return repr(str(image)) if isinstance(image, (str, Path)) else "given"
