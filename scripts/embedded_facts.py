"""Measure the facts of the embedded backbone that the package ships; run it when its weights change.

python scripts/embedded_facts.py
"""

from __future__ import annotations

import json
import platform
from pathlib import Path

import torch

from congeal.backbones import backbone_facts, embedded
from congeal.backbones.checkpoints import fingerprint
from congeal.backbones.extractor import BackboneSpec, load_backbone

PRECISIONS = ("float32", "bfloat16")


def main() -> None:
    """Write facts.safetensors and facts.json beside the weights."""
    torch.set_num_threads(2)
    arrays = {}
    for precision in PRECISIONS:
        backbone = load_backbone(BackboneSpec(embedded.NAME, precision=precision), device="cpu")
        facts = backbone_facts.measure(backbone)
        arrays |= {f"{precision}.{name}": array for name, array in facts._asdict().items()}
    folder = Path(embedded.__file__).parent
    (folder / "facts.safetensors").write_bytes(backbone_facts.encoded(arrays))
    about = {
        "weights_fingerprint": fingerprint(embedded.weights()),
        "version": backbone_facts.VERSION,
        "torch": torch.__version__,
        "device": f"cpu, {platform.machine()}",
    }
    (folder / "facts.json").write_text(json.dumps(about, indent=2) + "\n")


if __name__ == "__main__":
    main()
