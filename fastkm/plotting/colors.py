"""Colours of clusters."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastkm.plotting.axes import matplotlib

Array = NDArray[Any]

# Petroff's ten colours, chosen by survey for looks and told apart under the common
# colour-vision deficiencies.
FEW_COLORS = (
    "#3f90da #ffa90e #bd1f01 #94a4a2 #832db6 #a96b59 #e76300 #b9ac70 #717581 #92dadd"
).split()
GOLDEN = (math.sqrt(5) - 1) / 2


def label_colors(labels: Array, n_clusters: int) -> Array:
    """Colours (n, 3) of labels, the same for a label in every picture."""
    colors = matplotlib("colors")
    if n_clusters <= len(FEW_COLORS):
        return np.array([colors.to_rgb(name) for name in FEW_COLORS])[labels]
    # Golden-ratio steps keep the hues of close labels apart; three depths separate
    # those hues that come near each other among hundreds.
    hue = labels * GOLDEN % 1.0
    saturation = np.array([0.75, 0.5, 0.9])[labels % 3]
    value = np.array([0.88, 0.95, 0.62])[labels % 3]
    rgb: Array = colors.hsv_to_rgb(np.stack([hue, saturation, value], axis=-1))
    return rgb
