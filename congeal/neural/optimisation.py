"""Adam on named parameters, a state to go on from with the same bits, and how a training goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from congeal.errors import CongealError

CHECK_EVERY = 25  # steps; between two checks nothing is fetched from the device
LEAST_SCALE, MOST_SCALE = 0.05, 20.0  # frame units of an atlas unit, at the median of a few steps
STEP = "step"
MOMENTS = (STEP, "exp_avg", "exp_avg_sq")


class DivergedError(CongealError):
    """A training went wrong. step: at which it was found. terms: the losses then, by name."""

    def __init__(self, step: int, what: str, terms: Mapping[str, float]) -> None:
        said = ", ".join(f"{name} {value:.4g}" for name, value in terms.items())
        super().__init__(f"the training diverged by step {step}: {what}; losses: {said}")
        self.step, self.what, self.terms = step, what, dict(terms)


@dataclass(frozen=True)
class _Learned:
    """A parameter, and its numbers as Adam goes over them: in the order in which they lie in memory.

    Adam in one pass copies whatever lies otherwise, such as weights with their channels last, and back again.
    """

    parameter: nn.Parameter
    order: tuple[int, ...]
    numbers: nn.Parameter

    @classmethod
    def of(cls, parameter: nn.Parameter) -> _Learned:
        order = tuple(sorted(range(parameter.ndim), key=parameter.stride, reverse=True))
        numbers = nn.Parameter(parameter.detach().permute(order), parameter.requires_grad)
        return cls(parameter, order, numbers)

    def ordered(self, value: Tensor) -> Tensor:
        """A tensor of the parameter's shape [...] in that order; a view."""
        return value.permute(self.order)

    def shaped(self, value: Tensor) -> Tensor:
        """One in that order in the parameter's shape [...]; a view."""
        back = sorted(range(value.ndim), key=lambda at: self.order[at])
        return value.permute(back)


class Optimiser:
    """Adam over the parameters of modules, by name.

    Attributes:
        step: how many have been made.
    """

    def __init__(self, parts: Mapping[str, tuple[nn.Module, float]]) -> None:
        """parts: by name, a module and its learning rate; what asks for no gradient is left alone."""
        self.step = 0
        self._parts = {
            part: {f"{part}.{name}": _Learned.of(value) for name, value in module.named_parameters()}
            for part, (module, _) in parts.items()
        }
        self._named = {name: one for part in self._parts.values() for name, one in part.items()}
        groups = [
            {"params": learned, "lr": rate, "base": rate}
            for part, (_, rate) in parts.items()
            if (learned := [one.numbers for one in self._parts[part].values() if one.numbers.requires_grad])
        ]
        # In one pass over the numbers, which is most of the time that 26 million of them take on a processor.
        on_cpu = all(one.parameter.device.type == "cpu" for one in self._named.values())
        self._adam = torch.optim.Adam(groups, fused=on_cpu)

    def descend(self, loss: Tensor, pace: float = 1.0) -> None:
        """One step down a loss, a number [...]. pace: share of the learning rates."""
        for group in self._adam.param_groups:
            group["lr"] = group["base"] * pace
        for one in self._named.values():
            one.parameter.grad = None
        torch.autograd.backward(loss)
        for one in self._named.values():
            gradient = one.parameter.grad
            one.numbers.grad = None if gradient is None else one.ordered(gradient)
        self._adam.step()
        self.step += 1

    def state(self) -> dict[str, Tensor]:
        """Tensors by name, on the CPU."""
        found = {"step": torch.tensor(self.step)}
        for name, one in self._named.items():
            found[f"parameter/{name}"] = one.parameter.detach()
            for key, moment in self._adam.state.get(one.numbers, {}).items():
                found[f"{key}/{name}"] = moment if key == STEP else one.shaped(moment)
        return {name: value.to("cpu", copy=True).contiguous() for name, value in found.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a `state`, tensors [...] by name; raises CongealError if it is of other modules."""
        for name, one in self._named.items():
            stored = state.get(f"parameter/{name}")
            if stored is None or stored.shape != one.parameter.shape:
                raise CongealError(f"the training's state does not fit ({name}): delete it to start anew")
        self.step = int(state["step"])
        with torch.no_grad():
            for name, one in self._named.items():
                one.parameter.copy_(state[f"parameter/{name}"])
                if f"exp_avg/{name}" in state:
                    moments = {
                        key: torch.empty_like(one.numbers).copy_(one.ordered(state[f"{key}/{name}"]))
                        for key in MOMENTS
                        if key != STEP
                    }
                    step = state[f"{STEP}/{name}"].to("cpu", copy=True)
                    self._adam.state[one.numbers] = {STEP: step, **moments}


class Watch:
    """Looks at the losses and scales of every few steps at once; raises `DivergedError`."""

    def __init__(self) -> None:
        self._seen: list[tuple[int, list[str], Tensor]] = []

    def note(self, step: int, terms: Mapping[str, Tensor], scales: Tensor) -> None:
        """What a step gave: losses by name, and the scales [k] of the maps."""
        values = [value.detach().float() for value in terms.values()]
        self._seen.append((step, list(terms), torch.stack([*values, scales.detach().float().median()])))
        if len(self._seen) >= CHECK_EVERY:
            self.check()

    def check(self) -> None:
        """Look at what was noted since the last time."""
        if not self._seen:
            return
        seen, self._seen = self._seen, []
        rows = torch.split(torch.cat([row for _, _, row in seen]).cpu(), [len(row) for _, _, row in seen])
        scales = torch.stack([row[-1] for row in rows])
        for (step, names, _), row in zip(seen, rows, strict=True):
            if not bool(torch.isfinite(row).all()):
                raise DivergedError(step, "a loss is not finite", _terms(names, row))
        scale = float(scales.median())
        if not LEAST_SCALE <= scale <= MOST_SCALE:
            what = "collapsed" if scale < LEAST_SCALE else "grown"
            step, names, _ = seen[-1]
            raise DivergedError(
                step, f"the scale of the maps has {what} to {scale:.3g}", _terms(names, rows[-1])
            )


def _terms(names: Sequence[str], row: Tensor) -> dict[str, float]:
    return dict(zip(names, row[:-1].tolist(), strict=True))


def with_restart(
    run: Callable[[float], None], told: Callable[[DivergedError], None] | None = None, smaller: float = 0.25
) -> list[DivergedError]:
    """Run a training that takes a share of its learning rates; once more, with a smaller one, if it diverges.

    told: called for each fault, before the next attempt.

    Returns what went wrong: nothing, once (the second attempt was sound), or twice.
    """
    faults: list[DivergedError] = []
    for share in (1.0, smaller):
        try:
            run(share)
        except DivergedError as fault:
            faults.append(fault)
            if told is not None:
                told(fault)
        else:
            break
    return faults
