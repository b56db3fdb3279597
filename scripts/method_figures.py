"""The pictures of docs/method.md, one a step, from the samples and the backbone in the package.

    python scripts/method_figures.py [NAME …]

Writes docs/pictures/method/NAME.png. Takes about ten minutes on two cores.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import method_map_figures
import method_pose_figures
from method_drawing import FIGURES, OUT, save

# Whose functions are in FIGURES once they are imported.
__all__ = ["method_map_figures", "method_pose_figures"]


def main() -> None:
    """Draw the figures that are asked for, or all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(FIGURES))
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    for name in arguments.names or FIGURES:
        path = save(FIGURES[name](), name, arguments.out)
        print(f"{path} {path.stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    main()
