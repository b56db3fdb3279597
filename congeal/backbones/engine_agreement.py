"""Does an engine find in images what PyTorch finds in float32?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import cosine_similarity

from congeal.backbones.position_bias import probe_images
from congeal.errors import BackboneError

if TYPE_CHECKING:
    from congeal.backbones.torch_backbone import Backbone

LEAST_COSINE = 0.999  # of any token's features, and of the embedding
# That the saliency of any cell may differ by. Of DINOv2-S in bfloat16: 0.052 by OpenVINO, and by PyTorch
# itself, on one of the two images, 0.044.
MOST_SALIENCY = 0.1


def check_agreement(backbone: Backbone, reference: Backbone) -> float:
    """The least cosine of any token of two images, one of noise and one of it mirrored.

    Raises `BackboneError` if the features, each part of them, or the embedding differ by more than
    LEAST_COSINE, or the saliency by more than MOST_SALIENCY.
    """
    image = probe_images(backbone.image_size, 1)
    images = np.concatenate([image, image[:, :, ::-1]])
    found, expected = backbone(images), reference(images)
    sizes = list(reference.taps.values())
    parts = zip(
        torch.split(found.features, sizes, -1), torch.split(expected.features, sizes, -1), strict=True
    )
    cosines = [cosine_similarity(one, other, dim=-1).min() for one, other in parts]
    cosines.append(cosine_similarity(found.embedding, expected.embedding, dim=-1).min())
    least = float(torch.stack(cosines).min())
    if not least >= LEAST_COSINE:  # so that NaN is too little
        raise BackboneError(
            f"{backbone.engine} gives other features than PyTorch (cosine {least:.4f}, "
            f"{LEAST_COSINE} is the least)"
        )
    apart = float((found.saliency - expected.saliency).abs().max())
    if not apart <= MOST_SALIENCY:
        raise BackboneError(
            f"{backbone.engine} gives another saliency than PyTorch ({apart:.3f} apart, "
            f"{MOST_SALIENCY} is the most)"
        )
    return least
