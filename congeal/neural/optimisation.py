"""Adam on named parameters, a state to go on from with the same bits, and how a training goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

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


class Optimiser:
    """Adam over the parameters of modules, by name.

    Attributes:
        step: how many have been made.
    """

    def __init__(self, parts: Mapping[str, tuple[nn.Module, float]]) -> None:
        """parts: by name, a module and its learning rate; what asks for no gradient is left alone."""
        self.step = 0
        self._named = {
            f"{part}.{name}": value
            for part, (module, _) in parts.items()
            for name, value in module.named_parameters()
        }
        groups = [
            {"params": learned, "lr": rate, "base": rate}
            for module, rate in parts.values()
            if (learned := [value for value in module.parameters() if value.requires_grad])
        ]
        # In one pass over the numbers, which is most of the time that 26 million of them take on a processor.
        on_cpu = all(value.device.type == "cpu" for value in self._named.values())
        self._adam = torch.optim.Adam(groups, fused=on_cpu)

    def descend(self, loss: Tensor, pace: float = 1.0) -> None:
        """One step down a loss, a number [...]. pace: share of the learning rates."""
        for group in self._adam.param_groups:
            group["lr"] = group["base"] * pace
        self._adam.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self._adam.step()
        self.step += 1

    def state(self) -> dict[str, Tensor]:
        """Tensors by name, on the CPU."""
        found = {"step": torch.tensor(self.step)}
        for name, value in self._named.items():
            found[f"parameter/{name}"] = value.detach()
            for key, moment in self._adam.state.get(value, {}).items():
                found[f"{key}/{name}"] = moment
        return {name: value.to("cpu", copy=True).contiguous() for name, value in found.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a `state`, tensors [...] by name; raises CongealError if it is of other modules."""
        for name, value in self._named.items():
            stored = state.get(f"parameter/{name}")
            if stored is None or stored.shape != value.shape:
                raise CongealError(f"the training's state does not fit ({name}): delete it to start anew")
        self.step = int(state["step"])
        with torch.no_grad():
            for name, value in self._named.items():
                value.copy_(state[f"parameter/{name}"])
                if f"exp_avg/{name}" in state:
                    # In the order of the numbers in memory, by which Adam goes over both at once.
                    moments = {
                        key: torch.empty_like(value).copy_(state[f"{key}/{name}"])
                        for key in MOMENTS
                        if key != STEP
                    }
                    self._adam.state[value] = {STEP: state[f"{STEP}/{name}"].to("cpu", copy=True), **moments}


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
