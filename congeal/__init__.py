"""Joint alignment of image collections: atlases, dense maps and a correspondence index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from congeal.collection import open  # noqa: A004
    from congeal.solver import align

__all__ = ["__version__", "align", "open"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Imported on first use: the door needs infra, the solver torch, and `import congeal` neither.
    if name == "open":
        from congeal import collection

        return collection.open
    if name == "align":
        from congeal import solver

        return solver.align
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
