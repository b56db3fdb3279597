"""Which images of a set build its atlas."""

from __future__ import annotations

import numpy as np

from congeal.settings import load_settings
from tasks.clusters.cluster_roles import MEMBER, VERSION, Rows, sort
from tasks.execution.stage_versions import COPIES_BUILD


def test_a_burst_near_the_middle_builds_no_atlas_but_one_of_it_does() -> None:
    random = np.random.default_rng(0)
    others = random.normal(0, 1, (9, 16)) * 0.5 + np.eye(16)[0] * 2
    frames = np.eye(16)[0] * 2 + random.normal(0, 0.01, (30, 16))
    embeddings = np.concatenate([frames, others]).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    asked = load_settings(None, ["clusters.method=single", "atlases.atlas_size=8"], environ={})
    builders = {}
    for version in (COPIES_BUILD, VERSION):
        sorting = sort(embeddings, asked, version)
        rows = Rows(len(embeddings))
        rows.grade(sorting, ["c"], asked, embeddings, version)
        assert sorted(rows.ranks) == list(range(39))
        assert rows.ranks[int(sorting.medoids[0])] == 0
        builders[version] = {at for at, role in enumerate(rows.roles) if role == MEMBER}
    assert builders[COPIES_BUILD] <= set(range(30))
    assert len(builders[VERSION]) == 8
    assert len(builders[VERSION] & set(range(30))) == 1
