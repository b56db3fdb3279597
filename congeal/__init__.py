"""Joint alignment of image collections: atlases, dense maps and a correspondence index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from congeal_floors import moved_modules

if TYPE_CHECKING:
    from congeal.alignment.inputs.set_arrays import SetArrays
    from congeal.alignment.solver import align, align_many
    from congeal.results.collection import open  # noqa: A004

__all__ = ["SetArrays", "__version__", "align", "align_many", "open"]

__version__ = "0.1.0"

moved_modules.install()


def __getattr__(name: str) -> Any:
    # Imported on first use: the door needs infra, the solver torch, and `import congeal` neither.
    if name == "open":
        from congeal.results import collection

        return collection.open
    if name in {"align", "align_many", "SetArrays"}:
        from congeal.alignment import solver

        return getattr(solver, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
