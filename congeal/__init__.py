"""Joint alignment of image collections: atlases, dense maps and a correspondence index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from congeal.collection import open  # noqa: A004
    from congeal.sets import SetArrays
    from congeal.solver import align, align_many

__all__ = ["SetArrays", "__version__", "align", "align_many", "open"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Imported on first use: the door needs infra, the solver torch, and `import congeal` neither.
    if name == "open":
        from congeal import collection

        return collection.open
    if name in {"align", "align_many", "SetArrays"}:
        from congeal import solver

        return getattr(solver, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
