"""Students: small vision transformers on their way to see what a large one sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from congeal.backbones import checkpoints as weights_files
from congeal.backbones.architectures import Cells, patch_size, skeleton, untrained
from congeal.backbones.hooks import AttentionInput, attention_of, class_attention, record_attention_input
from congeal.backbones.registry import SHOWN_CELLS, parts_of, resolve_name
from congeal.distillation.quantization import round_blocks
from congeal.errors import BackboneError


class Seen(NamedTuple):
    """What a student sees in b views of n cells.

    tokens float32 [b, n, c] and embedding float32 [b, c], both after the final norm and of any length;
    attention float32 [b, n], the last block's from the class token, mean over heads.
    """

    tokens: Tensor
    embedding: Tensor
    attention: Tensor


class Student(torch.nn.Module):
    """A plain timm vision transformer in training, for views of `cells` x `cells` cells.

    `model` is the transformer; its `state_dict` is what `congeal.backbones.extractor.load_backbone` reads.
    """

    def __init__(
        self, name: str, cells: int = SHOWN_CELLS, start: Mapping[str, Tensor] | None = None, seed: int = 0
    ) -> None:
        """Build the architecture `name` (see `resolve_name`), start from given tensors.

        `start` None: random parameters, fixed by `seed`. A start may be of the whole model: the blocks that
        the name leaves out and the classifier are left out. Raises `BackboneError` for an architecture that
        cannot be a student and for a start that does not fit (naming the tensors).
        """
        super().__init__()
        self.name = resolve_name(name)
        parts = parts_of(self.name)
        self.cells = Cells(cells, parts.worked(cells))
        self.patch_size = patch_size(skeleton(self.name))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = untrained(self.name, self.cells.worked)
        attention = attention_of(model.blocks[-1]) if isinstance(model, VisionTransformer) else None
        if attention is None or model.cls_token is None:
            raise BackboneError(
                f"{self.name} cannot be a student: it has no class token or no plain attention; "
                "use for example vit_small_patch14_dinov2@19"
            )
        if start is not None:
            kept = _kept(start, parts.blocks or tuple(range(len(model.blocks))))
            weights_files.load_strict(model, kept, self.name)
        for block in model.blocks:
            # With gradients, plain matrix products are a third faster on a CPU than the fused kernel.
            block.attn.fused_attn = False
        self.model: Any = model
        self.channels = int(model.embed_dim)
        for key in ("mean", "std"):
            self.register_buffer(key, torch.tensor(model.pretrained_cfg[key]).reshape(1, -1, 1, 1), False)
        self.mean: Tensor
        self.std: Tensor

    @property
    def image_size(self) -> int:
        """The side of a view in pixels."""
        return self.cells.shown * self.patch_size

    def round(self, pixels: Tensor, bits: float) -> dict[str, Tensor]:
        """Round the blocks' matrices to about so many bits a number, by views [b, 3, image_size, image_size].

        Returns the rows' steps by the matrices' names, see `congeal.distillation.quantization`.
        """
        return round_blocks(self.model, self._standardised(pixels), bits)

    def _standardised(self, pixels: Tensor) -> Tensor:
        return (self.cells.shrunk(pixels, self.patch_size) - self.mean) / self.std

    def forward(self, pixels: Tensor) -> Seen:
        """See float32 [b, 3, image_size, image_size] in [0, 1]."""
        attention, inputs = self.model.blocks[-1].attn, dict[torch.nn.Module, AttentionInput]()
        with record_attention_input(attention, inputs):
            tokens = self.model.forward_features(self._standardised(pixels))
        prefix = int(self.model.num_prefix_tokens)
        looks = class_attention(attention, inputs[attention], prefix)
        return Seen(
            self.cells.enlarged(tokens[:, prefix:].float()),
            tokens[:, 0].float(),
            self.cells.enlarged(looks[..., None])[..., 0],
        )


def _kept(start: Mapping[str, Tensor], blocks: tuple[int, ...]) -> dict[str, Tensor]:
    """The tensors that a student with these blocks takes; a start of as many blocks gives them all."""
    given = sorted({int(key.split(".")[1]) for key in start if key.startswith("blocks.")})
    places = {block: place for place, block in enumerate(given if len(given) == len(blocks) else blocks)}
    kept = {}
    for key, tensor in start.items():
        if not key.startswith("blocks."):
            kept[key] = tensor.float()
            continue
        _, block, rest = key.split(".", 2)
        if int(block) in places:
            kept[f"blocks.{places[int(block)]}.{rest}"] = tensor.float()
    return kept
