"""Whole runs over what an owner chooses: several sources at once, a cluster of each folder."""

from __future__ import annotations

from pathlib import Path

from sample_runs import folder, photographs, picture, run, tiny, weights

import congeal

__all__ = ["weights"]


def test_two_sources_and_a_cluster_of_each_folder(tmp_path: Path, weights: Path) -> None:
    """Folders are told apart also where two sources have one of the same name; a source may come later."""
    first = folder(tmp_path / "first", photographs(2))
    second = folder(tmp_path / "second", {f"a/{seed}.png": picture(0, 10 + seed) for seed in range(2)})
    asked = ["clusters.method=folder", "clusters.smallest=2", "report.enabled=false"]
    alone = run(first, tmp_path / "out", tiny(weights, *asked))
    assert (alone["images"]["ok"], alone["clusters"]) == (4, 2)
    before = congeal.open(tmp_path / "out").images.set_index("uri")["cluster_id"]
    assert before["a/0.png"] == before["a/1.png"] != before["b/0.png"] == before["b/1.png"]

    both = run(first, tmp_path / "out", tiny(weights, *asked, f"source.also={second}"))
    assert (both["images"]["ok"], both["clusters"]) == (6, 3)
    opened = congeal.open(tmp_path / "out")
    after = opened.images.set_index("uri")["cluster_id"]
    assert after[before.index].to_dict() == before.to_dict()
    elsewhere = [f"file://{second}/a/{seed}.png" for seed in range(2)]
    assert after[elsewhere[0]] == after[elsewhere[1]] not in set(before)
    assert opened.image(elsewhere[0]).shape == (60, 80, 3)
    assert run(first, tmp_path / "out", tiny(weights, *asked, f"source.also={second}"))["up_to_date"]
