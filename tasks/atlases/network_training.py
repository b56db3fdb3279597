"""The method `neural` in the stage: networks of a cluster, with checkpoints in the unit's folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from congeal.alignment import outcomes
from congeal.alignment.model import Alignment, joined, picked
from congeal.errors import CongealError
from congeal.settings import Settings
from infra.errors import DamagedError, MissingError
from infra.ledger.commits import Marker, outputs_location
from infra.ledger.provenance import Stopwatch
from infra.storage.location import Location
from infra.threads import in_threads
from tasks.atlases.cluster_members import Dense, Member, fit_set, on_images, read_features
from tasks.atlases.window_features import Originals
from tasks.catalog.image_reading import Pixels, readers_of
from tasks.clusters.cluster_roles import MEMBER

if TYPE_CHECKING:
    import torch

    from congeal.alignment.inputs.windows import Windows

NETWORKS = "networks.safetensors"  # beside the atlas
CHECKPOINT = "training.safetensors"  # in the unit's folder while it is trained
SIDE = 256  # pixels a side of what networks see that look at images


@dataclass(frozen=True)
class Networks:
    """What networks of a cluster are trained with.

    Attributes:
        destination, settings, device, watch: of the unit.
        originals: where images are read that networks look at.
        folder: of the unit, in which a training under way keeps its checkpoint.
    """

    destination: Location
    settings: Settings
    device: torch.device
    watch: Stopwatch
    originals: Originals
    folder: Location

    @property
    def asked(self) -> bool:
        """Whether the settings ask for them."""
        return self.settings.alignment.method == "neural"

    def train(
        self,
        direct: Alignment,
        dense: Dense,
        valid: npt.NDArray[np.float32],
        members: Sequence[Member],
        windows: Windows | None = None,
    ) -> Trained:
        """Train on the members that build an atlas, whose direct alignment is known.

        dense, valid: their features, of windows of them if there are any; see
        `tasks.atlases.cluster_members.align_views`.
        """
        from congeal.alignment.inputs.image_set import ImageArrays
        from congeal.neural.checkpoints import decode_state
        from congeal.neural.config import NETWORKS as SIZES
        from congeal.neural.config import NeuralMethod
        from congeal.neural.refinement import Checkpoints, refine

        place = self.folder / CHECKPOINT

        class InFolder(Checkpoints):
            def load(self) -> bytes | None:
                try:
                    data = place.read_bytes()
                    decode_state(data)
                except MissingError:
                    return None
                except CongealError as error:
                    raise DamagedError(f"{place.url} cannot be read ({error}): delete it.") from error
                return data

            def save(self, data: bytes) -> None:
                place.write_bytes(data)

        asked = self.settings.alignment
        method = NeuralMethod(
            asked.schedule, asked.network, asked.losses, self.settings.seed, asked.gradual, asked.reference
        )
        pixels = self._pixels(members, windows) if SIZES[method.network].pixels else None
        with self.watch.phase("networks"):
            found = refine(
                ImageArrays(dense.features, dense.saliency, dense.mirrored, dense.mirrored_saliency, valid),
                direct,
                method,
                turned=dense.turned,
                extent=dense.extent,
                config=self.settings.atlases.solver_config,
                pixels=pixels,
                device=self.device,
                checkpoints=InFolder(),
            )
        return Trained(found.aligned, found.networks, dict(found.facts))

    def train_set(self, first: Alignment, members: Sequence[Member]) -> Trained:
        """Train on a whole cluster that is aligned; who does not build the atlas is fitted to the new one."""
        builders = [member for member in members if member.role == MEMBER]
        with self.watch.phase("read"):
            dense = read_features(self.destination, builders)
        direct = picked(first, range(len(builders)))
        found = self.train(direct, dense, on_images(builders, dense), builders)
        if found.aligned is direct:
            return Trained(first, found.networks, found.facts)
        del dense
        rest = fit_set(
            found.aligned.atlas,
            self.destination,
            members[len(builders) :],
            self.settings,
            self.device,
            self.watch,
        )
        parts = [found.aligned, *(aligned for _, aligned in rest)]
        return Trained(joined(parts), found.networks, found.facts)

    def finishing(self, members: Sequence[Member]) -> Finishing:
        """Training at the end of a second look."""
        return Finishing(self, [member for member in members if member.role == MEMBER])

    def _pixels(self, members: Sequence[Member], windows: Windows | None) -> npt.NDArray[np.uint8]:
        """The images, or windows of them, uint8 [n, s, s, 3]; grey where one cannot be read again."""
        from congeal.alignment.inputs.windows import Windows

        originals, n = self.originals, len(members)
        shown = Windows(np.zeros((n, 2)), np.ones(n)) if windows is None else windows

        def read(position: int) -> Pixels | Any:
            return originals.read_window(members[position], shown, position, SIDE)

        pixels = np.full((len(members), SIDE, SIDE, 3), 127, np.uint8)
        threads = readers_of(originals.source)
        with self.watch.phase("read"):
            for position, image in enumerate(in_threads(read, range(len(members)), threads=threads)):
                if isinstance(image, np.ndarray):
                    pixels[position] = image
        return pixels


@dataclass(frozen=True)
class Trained:
    """What came of it. networks: safetensors, or None; facts: for the record of the unit."""

    aligned: Alignment
    networks: bytes | None
    facts: dict[str, Any]


class Finishing:
    """Networks trained on windows; facts and networks are known once it is called."""

    def __init__(self, with_: Networks, builders: Sequence[Member]) -> None:
        self._with, self._builders = with_, builders
        self.facts: dict[str, Any] = {}
        self.networks: bytes | None = None

    def finish(
        self, direct: Alignment, dense: Dense, valid: npt.NDArray[np.float32], windows: Windows
    ) -> Alignment:
        """The alignment that is kept."""
        found = self._with.train(direct, dense, valid, self._builders, windows)
        self.facts, self.networks = found.facts, found.networks
        return found.aligned


Finish = Callable[[Alignment, Dense, npt.NDArray[np.float32], "Windows"], Alignment]
"""What becomes of a second look that is kept: the alignment of windows, by their features."""


def maps_from(trained: Mapping[str, Any]) -> str:
    """Where the maps of a cluster are from, as the table clusters says it.

    trained: what there is to say of its networks; empty: none were asked for.
    """
    if not trained:
        return outcomes.DIRECT
    if trained["kept"] != outcomes.DIRECT:
        return outcomes.NETWORKS
    if len(trained.get("faults", ())) > 1:
        return outcomes.DIRECT_DIVERGED
    return outcomes.DIRECT_BETTER if "explained" in trained else outcomes.DIRECT_UNTRAINED


def stored_networks(destination: Location, marker: Marker) -> bytes | None:
    """The networks beside an atlas, or None."""
    if NETWORKS not in marker.outputs:
        return None
    try:
        return (outputs_location(destination, marker) / NETWORKS).read_bytes()
    except MissingError as error:
        place = outputs_location(destination, marker) / NETWORKS
        raise DamagedError(f"The networks {place.url} are gone: delete the unit and run again.") from error
