from __future__ import annotations

from pathlib import Path

import pytest

from flows.deployments.published_settings import settings_as_published
from infra.errors import SettingsError, UserError


def test_new_images_come_in_with_the_settings_there_are(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    destination = str(finished / "destination")
    monkeypatch.setenv("CONGEAL_FEATURES__IMAGE_SIZE", "448")  # of a worker that has other plans
    settings = settings_as_published(destination, {"engine": {"workers": 3}, "features": {"batch_size": 2}})
    assert settings.features.image_size != 448
    assert (settings.engine.workers, settings.features.batch_size) == (3, 2)
    assert settings.clusters.growth == "extend"
    assert settings.atlases.resolve == ()
    assert settings_as_published(destination, None, ("drifted",)).atlases.resolve == ("drifted",)


def test_a_setting_that_would_make_everything_anew_is_refused(finished: Path) -> None:
    with pytest.raises(
        SettingsError, match=r"features\.image_size is \d+ in what is published: leave it out"
    ):
        settings_as_published(str(finished / "destination"), {"features": {"image_size": 448}})


def test_where_nothing_is_published(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Nothing is published in .+: run the deployment"):
        settings_as_published(str(tmp_path / "none"), {})
