"""The loop that trains a student: batches in, parameters out, at any moment a state to go on from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice

import torch
from torch import Tensor

from congeal.devices import PRECISIONS, resolve_precision
from congeal.distillation import POOL, Loss, Recipe, batches, loss
from congeal.errors import CongealError
from congeal.students import Student
from congeal.targets import Examples, TargetBasis, joined
from congeal.views import recolour

CLIP = 1.0  # largest length of a gradient


@dataclass(frozen=True)
class Lessons:
    """Examples of one grid in units. sizes: rows of each; load: a unit's examples by its number."""

    sizes: Sequence[int]
    load: Callable[[int], Examples]
    _kept: Callable[[int], Examples] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_kept", lru_cache(maxsize=2 * POOL)(self.load))

    def batch(self, rows: Sequence[tuple[int, int]]) -> Examples:
        """The rows (unit, row) together, ordered by unit."""
        parts = []
        for unit in sorted({unit for unit, _ in rows}):
            index = torch.tensor([row for other, row in rows if other == unit])
            parts.append(self._kept(unit).rows(index))
        return joined(parts)


class Training:
    """A student under way. `state` holds all that `restore` needs to go on with the same bits."""

    def __init__(
        self, student: Student, basis: TargetBasis, recipe: Recipe, device: str | torch.device = "cpu"
    ) -> None:
        self.device = torch.device(device)
        self.student = student.to(self.device).train()
        self.basis = TargetBasis(
            basis.mean.to(self.device),
            basis.projection.to(self.device),
            basis.embedding_projection.to(self.device),
            basis.kept,
        )
        self.recipe = recipe
        self.step = 0
        self._half = PRECISIONS[resolve_precision(recipe.precision, self.device)]
        self._parameters = dict(student.model.named_parameters())
        self._average = {name: value.detach().clone() for name, value in self._parameters.items()}
        flat = [value for value in self._parameters.values() if value.ndim < 2]
        weights = [value for value in self._parameters.values() if value.ndim >= 2]
        self._optimiser = torch.optim.AdamW(
            [
                {"params": weights, "weight_decay": recipe.weight_decay},
                {"params": flat, "weight_decay": 0.0},
            ],
            lr=recipe.learning_rate,
            betas=(0.9, 0.98),
        )

    def run(self, coarse: Lessons, fine: Lessons | None) -> Iterator[dict[str, float]]:
        """Train to the recipe's last step from where the state is; after each step its losses by name.

        Without `fine`, all steps learn from `coarse`. Raises `CongealError` if the loss is no longer finite.
        """
        recipe = self.recipe
        turn = recipe.steps if fine is None else recipe.coarse_steps
        phases = [(coarse, recipe.batch, 0, turn)]
        if fine is not None:
            phases.append((fine, max(recipe.batch // 4, 1), turn, recipe.steps))
        for lessons, batch, begin, end in phases:
            if self.step >= end:
                continue
            order = batches(lessons.sizes, batch, recipe.seed)
            for rows in islice(order, self.step - begin, end - begin):
                losses = self._learn(lessons.batch(rows))
                yield {name: float(getattr(losses, name).detach()) for name in Loss.__dataclass_fields__}

    def _learn(self, examples: Examples) -> Loss:
        examples = Examples(*(part.to(self.device) for part in vars(examples).values()))
        draw = torch.Generator().manual_seed(self.recipe.seed * 1_000_003 + self.step)
        for group in self._optimiser.param_groups:
            group["lr"] = self.recipe.rate(self.step)
        with torch.autocast(self.device.type, dtype=self._half, enabled=self._half != torch.float32):
            seen = self.student(recolour(examples.pixels, draw))
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
        # A young average would remember the start for too long.
        keep = min(self.recipe.averaging, self.step / (self.step + 10))
        with torch.no_grad():
            for name, value in self._parameters.items():
                self._average[name].lerp_(value, 1 - keep)
        return losses

    def averaged(self) -> dict[str, Tensor]:
        """The student's state dict with the parameters' moving average: float32, on the CPU."""
        return {
            name: self._average.get(name, value).detach().float().cpu().clone()
            for name, value in self.student.model.state_dict().items()
        }

    def state(self) -> dict[str, Tensor]:
        """Everything to go on from, as tensors by name."""
        tensors = {"step": torch.tensor(self.step)}
        for name, value in self._parameters.items():
            tensors[f"parameter/{name}"] = value.detach()
            tensors[f"average/{name}"] = self._average[name]
            for key, moment in self._optimiser.state.get(value, {}).items():
                tensors[f"{key}/{name}"] = moment
        return {name: value.cpu().contiguous().clone() for name, value in tensors.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a `state` of the same student and recipe; raises `CongealError` if it is of another."""
        wanted = {f"{kind}/{name}" for kind in ("parameter", "average") for name in self._parameters}
        if "step" not in state or not wanted <= state.keys():
            raise CongealError("the training's state is of another student; delete it to start anew")
        self.step = int(state["step"])
        with torch.no_grad():
            for name, value in self._parameters.items():
                value.copy_(state[f"parameter/{name}"])
                self._average[name].copy_(state[f"average/{name}"])
                if self.step:
                    self._optimiser.state[value] = {
                        key: state[f"{key}/{name}"].clone().to("cpu" if key == "step" else self.device)
                        for key in ("step", "exp_avg", "exp_avg_sq")
                    }
