"""The loop that trains a student: batches in, parameters out, at any moment a state to go on from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from timm.scheduler.cosine_lr import CosineLRScheduler
from torch import Tensor
from torch.func import functional_call
from torch.optim.swa_utils import AveragedModel

from congeal.backbones.devices import PRECISIONS, resolve_precision
from congeal.backbones.packed_checkpoint import SCALE
from congeal.distillation.augmentation import recolour
from congeal.distillation.lessons import Lessons
from congeal.distillation.losses import Loss, Recipe, loss
from congeal.distillation.student import Student
from congeal.distillation.teacher_targets import Examples, TargetBasis
from congeal.errors import CongealError

CLIP = 1.0  # largest length of a gradient
# What meets the pixels, and the steps of what is rounded, have numbers so small that learning at the full
# rate would wipe out what a start knows.
INPUT, INPUT_PACE = ("patch_embed.", "pos_embed", "cls_token", "reg_token"), 0.1


class Training:
    """A student under way. `state` holds all that `restore` needs to go on with the same bits."""

    def __init__(
        self,
        student: Student,
        basis: TargetBasis,
        recipe: Recipe,
        device: str | torch.device = "cpu",
        steps: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Begin. steps: of matrices that are rounded already (see `congeal.distillation.quantization`).

        Those stay whole multiples of their rows' steps, which are learned in their place.
        """
        self.device = torch.device(device)
        self.student = student.to(self.device).train()
        self.basis = basis.to(self.device)
        self.recipe = recipe
        self.step = 0
        self._half = PRECISIONS[resolve_precision(recipe.precision, self.device)]
        self._parameters = dict(student.model.named_parameters())
        self._whole: dict[str, Tensor] = {}
        for name, step in (steps or {}).items():
            scale = torch.nn.Parameter(step.to(self.device, copy=True))
            self._whole[name] = (self._parameters.pop(name).detach() / scale.detach()[:, None]).round()
            self._parameters[name + SCALE] = scale
        self._moving = AveragedModel(self._learning(), avg_fn=self._blend)
        self._optimiser = torch.optim.AdamW(
            [
                {"params": values, "weight_decay": decay, "lr": recipe.learning_rate * pace}
                for values, decay, pace in self._paces()
            ],
            betas=(0.9, 0.98),
        )
        self._schedule = CosineLRScheduler(
            self._optimiser, recipe.steps + 1, warmup_t=recipe.warmup, t_in_epochs=False
        )

    def _paces(self) -> Iterator[tuple[list[Tensor], float, float]]:
        """Groups of parameters: their weight decay and their share of the learning rate."""
        own = {
            name: value
            for name, value in self._parameters.items()
            if name.startswith(INPUT) or name.endswith(SCALE)
        }
        rest = [value for name, value in self._parameters.items() if name not in own]
        yield [value for value in rest if value.ndim >= 2], self.recipe.weight_decay, 1.0
        yield [value for value in rest if value.ndim < 2], 0.0, 1.0
        yield list(own.values()), 0.0, INPUT_PACE

    def run(self, lessons: Lessons) -> Iterator[dict[str, float]]:
        """Train to the recipe's last step from where the state is; after each step its losses by name.

        Raises `CongealError` if the loss is no longer finite.
        """
        recipe = self.recipe
        for examples in lessons.batches(recipe.batch, recipe.seed, self.step, recipe.steps):
            losses = self._learn(examples)
            yield {name: float(getattr(losses, name).detach()) for name in Loss.__dataclass_fields__}

    def _learn(self, examples: Examples) -> Loss:
        examples = Examples(*(part.to(self.device) for part in vars(examples).values()))
        draw = torch.Generator().manual_seed(self.recipe.seed * 1_000_003 + self.step)
        self._schedule.step_update(self.step + 1)  # at step 0 of the schedule nothing would be learned
        pixels = recolour(examples.pixels, draw)
        with torch.autocast(self.device.type, dtype=self._half, enabled=self._half != torch.float32):
            seen = functional_call(self.student, self._rounded(), (pixels,))
        losses = loss(seen, examples, self.basis, self.recipe, draw)
        total = losses.total(self.recipe)
        if not bool(torch.isfinite(total)):
            raise CongealError(
                f"the loss is not finite at step {self.step}; lower distill.learning_rate and start again"
            )
        self._optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(total)
        torch.nn.utils.clip_grad_norm_(list(self._parameters.values()), CLIP)
        self._optimiser.step()
        self.step += 1
        self._moving.update_parameters(self._learning())
        return losses

    def _learning(self) -> torch.nn.ParameterList:
        return torch.nn.ParameterList(self._parameters.values())

    def _blend(self, average: Tensor, value: Tensor, count: Tensor | int) -> Tensor:
        # A young average would remember the start for too long.
        keep = min(self.recipe.averaging, (float(count) + 1) / (float(count) + 11))
        return average.lerp(value, 1 - keep)

    @property
    def _average(self) -> dict[str, Tensor]:
        """The moving average of the parameters by name."""
        return dict(zip(self._parameters, self._moving.module.parameters(), strict=True))

    def _rounded(self) -> dict[str, Tensor]:
        """The rounded matrices, by name in the student."""
        return {
            f"model.{name}": whole * self._parameters[name + SCALE][:, None]
            for name, whole in self._whole.items()
        }

    def averaged(self) -> dict[str, Tensor]:
        """The student's state dict with the parameters' moving average: float32, on the CPU."""
        steps, average = self.steps(), self._average
        return {
            name: (self._whole[name].cpu() * steps[name][:, None])
            if name in steps
            else average.get(name, value).detach().float().cpu().clone()
            for name, value in self.student.model.state_dict().items()
        }

    def steps(self) -> dict[str, Tensor]:
        """The learned steps of the rounded matrices' rows, by matrix; as half precision keeps them."""
        average = self._average
        return {name: average[name + SCALE].detach().cpu().half().float() for name in self._whole}

    def state(self) -> dict[str, Tensor]:
        """Everything to go on from, as tensors by name."""
        tensors, average = {"step": torch.tensor(self.step)}, self._average
        for name, value in self._parameters.items():
            tensors[f"parameter/{name}"] = value.detach()
            tensors[f"average/{name}"] = average[name].detach()
            for key, moment in self._optimiser.state.get(value, {}).items():
                tensors[f"{key}/{name}"] = moment
        return {name: value.cpu().contiguous().clone() for name, value in tensors.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a `state` (tensors [...] by name) of the same student and recipe.

        Raises `CongealError` if it is of another.
        """
        wanted = {f"{kind}/{name}" for kind in ("parameter", "average") for name in self._parameters}
        if "step" not in state or not wanted <= state.keys():
            raise CongealError("the training's state is of another student; delete it to start anew")
        self.step, average = int(state["step"]), self._average
        with torch.no_grad():
            self._moving.n_averaged.fill_(self.step)
            for name, value in self._parameters.items():
                value.copy_(state[f"parameter/{name}"])
                average[name].copy_(state[f"average/{name}"])
                if self.step:
                    self._optimiser.state[value] = {
                        key: state[f"{key}/{name}"].clone().to("cpu" if key == "step" else self.device)
                        for key in ("step", "exp_avg", "exp_avg_sq")
                    }
