"""Features a second, sets a second and memory on a GPU.

    python benchmarks/speed/gpu.py [--backbone NAME] [--batch 1 8 32] [--sets 8] [--images 20] [--record]

Features by each precision and batch, as the product computes them and with torch.compile and channels-last
images beside it, with the least cosine to float32; sets by `congeal.align_many` on features of made-up
pictures. Without a GPU the script ends with a sentence. With --record, results go to
benchmarks/results/gpu.md.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch.nn.functional import cosine_similarity

from benchmarks.common.annotated_sets import ROOT, WEIGHTS, shared
from benchmarks.common.recording import tell
from congeal.backbones.extractor import Backbone, BackboneSpec, load_backbone
from congeal.backbones.position_bias import probe_images

RESULTS = ROOT / "benchmarks" / "results" / "gpu.md"
PRECISIONS = ("float32", "bfloat16", "float16")
ROUNDS = 5


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Median seconds of a call, and the most memory of the GPU that one took, in MiB."""
    work()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    found = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        work()
        torch.cuda.synchronize()
        found.append(time.perf_counter() - begin)
    return statistics.median(found), torch.cuda.max_memory_allocated() / 2**20


def ways(backbone: Backbone) -> dict[str, Callable[[], None]]:
    """What may make a backbone faster, by name; each changes it for good, and they add up."""

    def channels_last() -> None:
        backbone.model.patch_embed.to(memory_format=torch.channels_last)

    def compiled() -> None:
        # Not the last one: what is read from inside it, by hooks, a compiled block does not give.
        for block in backbone.model.blocks[:-1]:
            block.compile(dynamic=False)

    return {"as it is": lambda: None, "channels last": channels_last, "and compiled": compiled}


def features(name: str, weights: bytes, batches: list[int]) -> list[str]:
    """The rows of the features."""
    lines = [
        "| precision | how | batch | images/s | MiB | least cosine |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    expected = None
    for precision in PRECISIONS:
        backbone = load_backbone(BackboneSpec(name, precision=precision), weights, "cuda")
        images = probe_images(backbone.image_size, max(batches))
        for title, change in ways(backbone).items():
            change()
            for batch in batches:
                part = images[:batch]
                took, memory = seconds(lambda part=part, backbone=backbone: backbone(part))
                found = backbone(images[: min(batches)]).features
                expected = found if expected is None else expected
                least = float(cosine_similarity(found, expected, dim=-1).min())
                lines.append(
                    f"| {precision} | {title} | {batch} | {batch / took:.1f} | {memory:.0f} | {least:.6f} |"
                )
                print(lines[-1], flush=True)
    return lines


def sets(name: str, weights: bytes, count: int, images: int) -> str:
    """How fast sets of so many images are aligned, in one sentence."""
    import congeal

    backbone = load_backbone(BackboneSpec(name), weights, "cuda")
    made = []
    for number in range(count):
        shown = np.roll(probe_images(backbone.image_size, images), number, axis=1)
        seen = [backbone(shown[start : start + 8]) for start in range(0, images, 8)]
        made.append(
            congeal.SetArrays(
                torch.cat([one.features for one in seen]).half().cpu().numpy(),
                torch.cat([one.saliency for one in seen]).half().cpu().numpy(),
                extent=backbone.extent,
            )
        )
    took, memory = seconds(lambda: congeal.align_many(made, device="cuda"))
    return f"{count} sets of {images} images at once: {count / took:.2f} sets/s, {memory:.0f} MiB."


def main() -> None:
    """Measure, where there is a GPU."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", default="vit_small_patch14_dinov2.lvd142m")
    parser.add_argument("--batch", type=int, nargs="*", default=[1, 8, 32])
    parser.add_argument("--sets", type=int, default=8)
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.relative_to(ROOT)}")
    asked = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("There is no GPU that PyTorch can use here, so there is nothing to measure.")
    weights = (shared() / WEIGHTS).read_bytes()
    lines = features(asked.backbone, weights, asked.batch)
    lines += ["", sets(asked.backbone, weights, asked.sets, asked.images)]
    said = (
        f"{torch.cuda.get_device_name()}, medians of {ROUNDS} calls; uint8 images in, float32 features out."
    )
    tell("On a GPU", "speed/gpu.py", said, lines, RESULTS, asked.record)


if __name__ == "__main__":
    main()
