"""What a user hands to the networks' calls and configurations: one sentence names what is none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import congeal
from congeal.alignment.inputs.image_set import ImageArrays
from congeal.errors import CongealError
from congeal.neural.config import LOSSES, NETWORKS, SCHEDULES, NeuralMethod
from congeal.neural.networks import MappingNetworks
from congeal.neural.new_images import fit_new
from congeal.neural.refinement import refine


@pytest.fixture(scope="module")
def given() -> tuple[ImageArrays, congeal.Alignment]:
    random = np.random.default_rng(0)
    features = random.random((3, 4, 4, 6)).astype(np.float32)
    arrays = ImageArrays(features, random.random((3, 4, 4)).astype(np.float32))
    return arrays, congeal.align(features, arrays.saliency, resolution=4, map_resolution=4)


OTHERS: list[tuple[str, Any, str]] = [
    ("arrays", 3, r"^arrays is int, not congeal\.alignment\.inputs\.image_set\.ImageArrays$"),
    ("turned", 3, r"^turned is int, not "),
    ("extent", "wide", r"^extent is a number of frame units above 0"),
    ("extent", float("nan"), r"^extent is a number"),
    ("config", 3, r"^config is int, not congeal\.SolverConfig"),
    ("device", "abacus", r"abacus"),
    ("device", None, r"^a device is named by a word"),
]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        *OTHERS,
        ("direct", None, r"^direct is NoneType, not congeal\.alignment\.model\.Alignment$"),
        ("method", "neural", r"^method is str, not congeal\.neural\.config\.NeuralMethod$"),
        ("checkpoints", 3, r"^checkpoints is int, not "),
        ("pixels", np.zeros((3, 8, 8, 3)), r"^pixels are uint8 \[3, s, s, 3\], not float64 \[3, 8, 8, 3\]$"),
        ("pixels", np.zeros((2, 8, 8, 3), np.uint8), r"^pixels are uint8 \[3, s, s, 3\], not uint8 \[2,"),
    ],
)
def test_refine_names_the_argument(
    given: tuple[ImageArrays, congeal.Alignment], name: str, value: Any, said: str
) -> None:
    asked: dict[str, Any] = {"arrays": given[0], "direct": given[1], "method": NeuralMethod(), name: value}
    with pytest.raises(CongealError, match=said):
        refine(asked.pop("arrays"), asked.pop("direct"), asked.pop("method"), **asked)


def test_refine_wants_the_alignment_of_the_same_images(given: tuple[ImageArrays, congeal.Alignment]) -> None:
    two = ImageArrays(given[0].features[:2], given[0].saliency[:2])
    with pytest.raises(CongealError, match=r"^direct is of 3 images, and the arrays of 2$"):
        refine(two, given[1], NeuralMethod())


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        *OTHERS,
        ("atlas", 3, r"^atlas is int, not congeal\.alignment\.model\.Atlas$"),
        ("way", ["steps"], r"^new images are mapped by network, network\+steps, steps, not \['steps'\]$"),
        ("networks", 3, r"^networks is int, not congeal\.neural\.networks\.MappingNetworks$"),
        ("pixels", [1, 2], r"^pixels are uint8 \[3, s, s, 3\]"),
        ("seed", 0.5, r"^seed is a whole number, not 0\.5$"),
        ("map_resolution", 0, r"^map_resolution is "),
    ],
)
def test_fit_new_names_the_argument(
    given: tuple[ImageArrays, congeal.Alignment], name: str, value: Any, said: str
) -> None:
    networks = MappingNetworks(7, NETWORKS["small"])
    asked: dict[str, Any] = {"atlas": given[1].atlas, "arrays": given[0], "way": "network"}
    asked |= {"networks": networks, name: value}
    with pytest.raises(CongealError, match=said):
        fit_new(asked.pop("atlas"), asked.pop("arrays"), asked.pop("way"), **asked)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schedule", []), ("schedule", 3), ("network", {}), ("losses", None), ("reference", ["medoid"]),
        ("seed", "x"), ("seed", 1.5), ("seed", 2**70), ("gradual", "yes"),
    ],
)  # fmt: skip
def test_a_method_names_what_is_none(field: str, value: Any) -> None:
    with pytest.raises(CongealError, match=rf"^{field} is "):
        NeuralMethod(**{"schedule": "published", field: value})


@pytest.mark.parametrize(
    ("table", "field", "value"),
    [
        (LOSSES["published"], "keys_mse", "many"), (LOSSES["published"], "keys_mse", None),
        (LOSSES["published"], "keys_mse", True), (LOSSES["published"], "keys_mse", float("nan")),
        (LOSSES["published"], "keys_mse", -1), (LOSSES["published"], "keys_mse", 10**400),
        (SCHEDULES["fast"], "epochs", 1.5), (SCHEDULES["fast"], "mirrors", 3),
        (SCHEDULES["fast"], "losses", 3),
        (NETWORKS["small"], "channels", 3), (NETWORKS["small"], "channels", (1.5,)),
        (NETWORKS["small"], "pixels", "no"), (NETWORKS["small"], "stem", "x"),
    ],
)  # fmt: skip
def test_a_table_of_numbers_names_what_is_none(table: Any, field: str, value: Any) -> None:
    with pytest.raises(CongealError, match=rf"^{field} is "):
        replace(table, **{field: value})
    assert replace(LOSSES["published"], keys_mse=np.float32(3)).keys_mse == 3.0
