"""What the process imports from which a run's workers on this machine are forked.

Imports only: they start no thread, no event loop and no device, so that it is safe to fork.
"""

from __future__ import annotations

import distributed.nanny
import distributed.worker
import torch

import congeal.alignment.solver
import congeal.backbones.extractor
import tasks.atlases.atlases_stage
import tasks.catalog.catalog_stage
import tasks.clusters.clusters_stage
import tasks.features.features_stage
import tasks.index.index_stage
import tasks.report.report_stage

__all__ = ["congeal", "distributed", "tasks", "torch"]
