"""Students: small vision transformers on their way to see what a large one sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from congeal import weights as weights_files
from congeal.backbone_names import depth_of, resolve_name
from congeal.errors import BackboneError
from congeal.vit_hooks import AttentionInput, attention_of, class_attention, record_attention_input


class Seen(NamedTuple):
    """What a student sees in b views of n cells.

    tokens float32 [b, n, c] and embedding float32 [b, c], both after the final norm and of any length;
    attention float32 [b, n], the last block's from the class token, mean over heads.
    """

    tokens: Tensor
    embedding: Tensor
    attention: Tensor


class Student(torch.nn.Module):
    """A plain timm vision transformer in training; takes any input size that its patches divide.

    Its `state_dict` is the transformer's own, so that `congeal.backbones.load_backbone` reads it as it is.
    """

    def __init__(self, name: str, start: Mapping[str, Tensor] | None = None, seed: int = 0) -> None:
        """Build the architecture `name` ("architecture" or "architecture:depth"), start from given tensors.

        `start` None: random parameters, fixed by `seed`. A start may be of a deeper or a classifying model of
        the same architecture: the blocks beyond and the classifier are left out. Raises `BackboneError` for
        an architecture that cannot be a student and for a start that does not fit (naming the tensors).
        """
        super().__init__()
        self.name = resolve_name(name)
        architecture, depth = depth_of(self.name)
        options: dict[str, Any] = {} if depth is None else {"depth": depth}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model: Any = timm.create_model(architecture, num_classes=0, dynamic_img_size=True, **options)
        attention = attention_of(model.blocks[-1]) if isinstance(model, VisionTransformer) else None
        if attention is None or model.cls_token is None:
            raise BackboneError(
                f"{self.name} cannot be a student: it has no class token or no plain attention; "
                "use for example deit_tiny_patch16_224:7"
            )
        if start is not None:
            blocks = {f"blocks.{index}." for index in range(len(model.blocks))}
            kept = {
                key: tensor.float()
                for key, tensor in start.items()
                if not key.startswith("blocks.") or any(key.startswith(block) for block in blocks)
            }
            weights_files.load_strict(model, kept, self.name)
        for block in model.blocks:
            # With gradients, plain matrix products are a third faster on a CPU than the fused kernel.
            block.attn.fused_attn = False
        self.model: Any = model
        self.channels = int(model.embed_dim)
        self.patch_size = int(model.patch_embed.patch_size[0])
        for key in ("mean", "std"):
            self.register_buffer(key, torch.tensor(model.pretrained_cfg[key]).reshape(1, -1, 1, 1), False)
        self.mean: Tensor
        self.std: Tensor

    def forward(self, pixels: Tensor) -> Seen:
        """See float32 [b, 3, s, s] in [0, 1], s a multiple of the patch size."""
        attention, inputs = self.model.blocks[-1].attn, dict[torch.nn.Module, AttentionInput]()
        with record_attention_input(attention, inputs):
            tokens = self.model.forward_features((pixels - self.mean) / self.std)
        prefix = int(self.model.num_prefix_tokens)
        looks = class_attention(attention, inputs[attention], prefix)
        return Seen(tokens[:, prefix:].float(), tokens[:, 0].float(), looks)
