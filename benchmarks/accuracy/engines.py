"""What another inference engine costs in accuracy: features and PCK beside PyTorch's, on annotated sets.

    python benchmarks/accuracy/engines.py [SET …] [--engine openvino] [--precision float32]
                                          [--cache FOLDER] [--record]

Of each set: the least cosine and the median of it between an engine's features of a token and PyTorch's in
float32, of the images and their mirror images; PCK of nearest neighbours and of the product with either. With
--record, results go to benchmarks/results/engines.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import cosine_similarity

from benchmarks.common.annotated_sets import ROOT
from benchmarks.common.recording import command_line, tell
from benchmarks.common.set_features import Extractor, FeaturedSet, carried, solve
from congeal.evaluation.pck import carry, nearest_neighbour, unsure

RESULTS = ROOT / "benchmarks" / "results" / "engines.md"
REFERENCE = ("features.engine=torch", "features.precision=float32")


@dataclass(frozen=True)
class Row:
    """Cosines between two engines' tokens, and PCK in percent of both: the reference's first."""

    name: str
    images: int
    least: float
    median: float
    neighbours: tuple[float, float]
    ours: tuple[float, float]

    @property
    def line(self) -> str:
        """The row of a table."""
        pck = " | ".join(
            f"{one:.2f} | {two:.2f} ({two - one:+.2f})" for one, two in (self.neighbours, self.ours)
        )
        return f"| {self.name} | {self.images} | {self.least:.6f} | {self.median:.6f} | {pck} |"


def cosines(one: npt.NDArray[np.float16], other: npt.NDArray[np.float16]) -> torch.Tensor:
    """Of features [n, g, g, c], token by token: float64 [n, g, g]."""
    pairs = zip(torch.from_numpy(one), torch.from_numpy(other), strict=True)
    return torch.stack([cosine_similarity(a.double(), b.double(), dim=-1) for a, b in pairs])


def neighbours(featured: FeaturedSet) -> float:
    """PCK of nearest neighbours."""
    way = unsure(nearest_neighbour(featured.images, featured.given.features, featured.given.extent))
    return float(carry(featured.images, way, featured.pairs).pck(featured.alpha))


def compare(name: str, reference: Extractor, engine: Extractor) -> Row:
    """One set with both."""
    first, second = reference.named(name), engine.named(name)
    assert first.given.mirrored is not None
    assert second.given.mirrored is not None
    alike = torch.cat(
        [
            cosines(first.given.features, second.given.features),
            cosines(first.given.mirrored, second.given.mirrored),
        ]
    )
    ours = [float(carried(each, solve(each.given)).pck(each.alpha)) for each in (first, second)]
    return Row(
        name,
        len(first),
        float(alike.min()),
        float(np.median(alike.numpy())),
        (neighbours(first), neighbours(second)),
        (ours[0], ours[1]),
    )


def main() -> None:
    """Compare on every set asked for."""
    parser = command_line(__doc__, RESULTS)
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--precision", default="float32")
    asked = parser.parse_args()
    # Where PyTorch computes in float32 anyway, features that are kept for other benchmarks serve, too.
    from congeal.backbones.devices import resolve_device, resolve_precision

    usual = resolve_precision("auto", resolve_device()) == "float32"
    reference = Extractor(asked.cache, () if usual else REFERENCE)
    engine = Extractor(
        asked.cache, (f"features.engine={asked.engine}", f"features.precision={asked.precision}")
    )
    lines = [
        "| set | images | least cosine | median | neighbours, torch | engine | congeal, torch | engine |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in asked.sets:
        lines.append(compare(name, reference, engine).line)
        print(lines[-1], flush=True)
    said = (
        f"Features by {asked.engine} in {asked.precision}, in float16 as a run stores them, beside "
        "PyTorch's in float32: the least and the median cosine of any token, images and mirror images; PCK "
        "of nearest neighbours and of the product (seed 0)."
    )
    tell("Engines: what they cost in accuracy", "accuracy/engines.py", said, lines, RESULTS, asked.record)


if __name__ == "__main__":
    main()
