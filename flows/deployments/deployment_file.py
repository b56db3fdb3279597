"""A prefect.yaml for whoever has the wheel and no checkout, made from the one that the checkout has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

import congeal_floors
from infra.errors import UserError

ENTRYPOINTS = "congeal_floors.deployment"

_HEADING = """\
# The deployments of Congeal, written by `congeal deployment init`. Deploy them from here:
#   prefect --no-prompt deploy --all
# Congeal has to be installed where that is called and where the worker runs; no checkout is needed, and a
# worker may run in any folder. The pull step is written out because an empty one would be replaced by the
# folder of whoever deploys. Every deploy makes anew the schedules that are listed, and wakes what was paused.
"""

_HOME = "CONGEAL_HOME"  # the checkout, which there is none of
_OURS = "flows.deployment."  # a name that only a checkout's own folder makes Congeal's


def write(folder: Path) -> Path:
    """Write prefect.yaml into ``folder``, which is made if absent; its absolute path.

    Raises UserError if there is one already, or the folder cannot be written to.
    """
    path = folder.absolute() / "prefect.yaml"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text())
    except FileExistsError as fault:
        raise UserError(
            f"{path} exists and is not overwritten: name another folder, as in "
            "`congeal deployment init another-folder`, or move the file away."
        ) from fault
    except OSError as fault:
        raise UserError(f"{path} cannot be written: {fault.strerror}.") from fault
    return path


def text() -> str:
    """The file: the checkout's, with nothing in it that needs the checkout."""
    here = Path(congeal_floors.__file__).parent
    places = [here / "prefect.yaml", here.parent / "prefect.yaml"]
    found = next(place for place in places if place.is_file())
    config = without_checkout(yaml.safe_load(found.read_text(encoding="utf-8")))
    return _HEADING + yaml.dump(config, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=110)


class _Plain(yaml.SafeDumper):
    """Writes what is shared as often as it occurs, without anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        """True of everything."""
        return True


def without_checkout(config: dict[str, Any]) -> dict[str, Any]:
    """The content of a prefect.yaml, with steps and entrypoints that are found in the installed package."""
    steps = {key: _steps(config[key]) for key in ("build", "push", "pull") if config.get(key)}
    deployments = [
        deployment | {"entrypoint": f"{ENTRYPOINTS}:{deployment['entrypoint'].rpartition(':')[2]}"}
        for deployment in config["deployments"]
    ]
    changed = config | steps | {"deployments": deployments}
    return {key: value for key, value in changed.items() if value != [] and key != "definitions"}


def _steps(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [step for step in map(_step, steps) if step]


def _step(step: dict[str, Any]) -> dict[str, Any]:
    """One step without the checkout; empty if nothing of it is left."""
    ((name, inputs),) = step.items()
    inputs = dict(inputs or {})
    if _HOME in inputs.get("names", ()):
        inputs["names"] = [variable for variable in inputs["names"] if variable != _HOME]
        if not inputs["names"]:
            return {}
    if _HOME in str(inputs.get("directory", "")):
        inputs["directory"] = "."  # where the worker puts the run; nothing is looked for there
    if name.startswith(_OURS):
        name = f"congeal_floors.deployment.{name.removeprefix(_OURS)}"
    return {name: inputs}
