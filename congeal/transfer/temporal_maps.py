"""The maps of a video's frames made smooth over time: each frame by those before and after it, without lag.

What a place of the atlas does over time is a series whose acceleration is penalised
(`congeal.geometry.whittaker`), each frame's say being its confidence; what stands apart from its neighbours
in time (a map that slipped in one frame, a facing that was mistaken) is found by Tukey's biweight. Nothing
is carried across a lasting change of facing.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float

from congeal.geometry.frames import cell_centres
from congeal.geometry.shape_checks import checked
from congeal.geometry.whittaker import smoothed, stiffness
from congeal.transfer.points import interpolate

Floats = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

ROUNDS = 4  # of the robust weights
TUKEY = 4.685
NEAREST = 0.02  # frame units: what differs less from its neighbours never stands apart
FACING = 2  # frames on either side that say how the thing faces
LONGEST_GAP = 4  # frames that do not fit, in a row, that are bridged by those around them
FAR = 0.2  # frame units: a correction beyond this leaves nothing of the frame's own map
SETTLED = 4  # steps of following a correction back


@dataclass(frozen=True)
class Smoothed:
    """Maps of t frames.

    Attributes:
        forward: float64 [t, r, r, 2], for each cell of the atlas its place in the frame, frame units.
        backward: float64 [t, m, m, 2], for each cell of the frame its place in the atlas.
        mirrored: bool [t].
        bridged: bool [t], frames that did not fit and have the maps that those around them say.
        turned: bool [t], frames whose facing was overruled.
    """

    forward: Doubles
    backward: Doubles
    mirrored: Flags
    bridged: Flags
    turned: Flags


@checked
def smooth_maps(
    forward: Float[np.ndarray, "t r r 2"],
    confidence: Float[np.ndarray, "t r r"],
    backward: Float[np.ndarray, "t m m 2"],
    mirrored: Bool[np.ndarray, " t"],
    fits: Bool[np.ndarray, " t"],
    times: Float[np.ndarray, " t"],
    period: float,
) -> Smoothed:
    """The maps of t frames of one shot, smooth over time.

    Args:
        forward, backward: as of `Smoothed`.
        confidence: [t, r, r] of the forward maps, 0 to 1.
        mirrored: how each frame faces.
        fits: frames that fit the atlas; the others have no say.
        times: rising, any unit.
        period: in frames, the shortest period of a movement of which half is kept; 0: nothing is done.
    """
    t, r = forward.shape[:2]
    given = np.array(forward, np.float64)
    back = np.array(backward, np.float64)
    nothing = np.zeros(t, bool)
    if period <= 0 or t < 3 or not fits.any():
        return Smoothed(given.copy(), back.copy(), mirrored.copy(), nothing, nothing.copy())
    facing = _lasting(mirrored, fits)
    turned = facing != mirrored
    bridged = _bridged(fits)
    found = given.copy()
    say = (np.asarray(confidence, np.float64) ** 2 + 1e-3).reshape(t, r * r)
    say *= np.where(fits & ~turned, 1.0, 1e-6)[:, None]
    for start, end in _spans(facing):
        if end - start < 3 or not (fits & ~turned)[start:end].any():
            continue
        span = slice(start, end)
        series = given[span].reshape(end - start, r * r, 2)
        smooth = _robust(series, say[span], np.asarray(times[span], np.float64), stiffness(period))
        found[span] = smooth.reshape(-1, r, r, 2)
    # Frames that fit no atlas, and are not bridged, stay as they are: nobody knows where the thing is.
    kept = ~fits & ~bridged
    found[kept] = given[kept]
    facing, turned = np.where(kept, mirrored, facing), turned & ~kept
    shift = found - given
    for at in np.flatnonzero(np.abs(shift).reshape(t, -1).max(1) > 0):
        far = turned[at] or float(np.median(np.linalg.norm(shift[at], axis=-1))) > FAR
        back[at] = _inverse(found[at], back.shape[1]) if far else _followed(back[at], shift[at])
    return Smoothed(found, back, facing, bridged, turned)


def _robust(series: Doubles, say: Doubles, times: Doubles, penalty: float) -> Doubles:
    """Smoothed with weights that fall to nothing for what stands apart."""
    apart = np.linalg.norm(series - _medians(series), axis=-1)
    smooth = series
    for _ in range(ROUNDS):
        spread = np.maximum(1.4826 * np.median(apart, axis=0), NEAREST)
        share = np.clip(1 - (apart / (TUKEY * spread)) ** 2, 0, None) ** 2
        smooth = smoothed(series, say * share, times, penalty)
        apart = np.linalg.norm(series - smooth, axis=-1)
    return smooth


def _medians(series: Doubles) -> Doubles:
    """The median of five values around each, of fewer at the ends, always as many before as after."""
    out = series.copy()
    t = len(series)
    for at in range(1, t - 1):
        reach = min(at, t - 1 - at, 2)
        out[at] = np.median(series[at - reach : at + reach + 1], axis=0)
    return out


def _lasting(mirrored: Flags, fits: Flags) -> Flags:
    """How the thing faces by most of the frames around each that fit; a tie leaves it as it is."""
    found = mirrored.copy()
    votes = np.where(fits, np.where(mirrored, 1, -1), 0)
    for at in range(len(mirrored)):
        total = int(votes[max(at - FACING, 0) : at + FACING + 1].sum())
        if total:
            found[at] = total > 0
    return found


def _bridged(fits: Flags) -> Flags:
    """Frames that do not fit, between ones that do, in runs that are not too long."""
    out = np.zeros(len(fits), bool)
    good = np.flatnonzero(fits)
    for before, after in pairwise(good.tolist()):
        if 1 < after - before <= LONGEST_GAP + 1:
            out[before + 1 : after] = True
    return out


def _spans(facing: Flags) -> list[tuple[int, int]]:
    """First and past-the-last frame of each stretch that faces one way."""
    edges = [0, *(np.flatnonzero(np.diff(facing)) + 1).tolist(), len(facing)]
    return list(pairwise(edges))


def _followed(backward: Doubles, shift: Doubles) -> Doubles:
    """A map back to the atlas after the map from it has moved by `shift` [r, r, 2], frame units."""
    m = backward.shape[0]
    cells = np.asarray(cell_centres(m), np.float64).reshape(-1, 2)
    at = backward.reshape(-1, 2)
    for _ in range(SETTLED):
        at = interpolate(backward, cells - interpolate(shift, np.clip(at, -1, 1)))
    return at.reshape(m, m, 2)


def _inverse(forward: Doubles, m: int) -> Doubles:
    """The inverse of a map from the atlas [r, r, 2], as a map [m, m, 2] back to it."""
    import torch

    from congeal.geometry.warps import inverted

    u = np.asarray(cell_centres(forward.shape[0]), np.float64)
    flat = np.column_stack([u.reshape(-1, 2), np.ones(u.shape[0] ** 2)])
    affine, *_ = np.linalg.lstsq(flat, forward.reshape(-1, 2), rcond=None)
    if abs(np.linalg.det(affine[:2])) < 1e-6:
        affine[:2] = np.eye(2)
    home = np.linalg.inv(affine[:2])
    displacement = (forward - affine[2]) @ home - u
    cells = (np.asarray(cell_centres(m), np.float64) - affine[2]) @ home
    found = inverted(
        torch.as_tensor(displacement[None], dtype=torch.float32),
        torch.as_tensor(cells[None], dtype=torch.float32),
    )
    return np.asarray(found[0].numpy(), np.float64)
