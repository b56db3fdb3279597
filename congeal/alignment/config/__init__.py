"""Every number that decides how a set is aligned: one frozen configuration, a group a step.

What is not here: guards against division by zero; sizes of windows and batches, which bound memory and not
results; 3 × 3 neighbourhoods of cells; the eight angles of `alignment.rotation=any`, which are the layout
of the stored features; the precision to which flows are inverted (`congeal.geometry.warps`), which all
readers of maps share; and `congeal.alignment.model.SALIENT`, which says what published columns mean.
"""

from __future__ import annotations

from congeal.alignment.config.setting import NOT_RECORDED, Group, Setting, settings_of
from congeal.alignment.config.solver_config import PRESETS, SolverConfig

__all__ = ["NOT_RECORDED", "PRESETS", "Group", "Setting", "SolverConfig", "settings_of"]
