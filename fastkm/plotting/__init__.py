"""Pictures of clusterings, centers, timings and confusions; needs matplotlib.

Every function that draws takes `ax`, None making a new figure, and returns its Axes. It
raises ValueError naming a bad argument before it draws, and ImportError without
matplotlib.
"""

from fastkm.plotting.centers import plot_centers
from fastkm.plotting.clusters import plot_clusters
from fastkm.plotting.confusion import plot_confusion
from fastkm.plotting.convergence import plot_convergence
from fastkm.plotting.elbow import plot_elbow
from fastkm.plotting.silhouettes import plot_silhouette
from fastkm.plotting.timing import fitted_exponent, plot_time_curve
from fastkm.plotting.voronoi import plot_voronoi

__all__ = [
    "fitted_exponent",
    "plot_centers",
    "plot_clusters",
    "plot_confusion",
    "plot_convergence",
    "plot_elbow",
    "plot_silhouette",
    "plot_time_curve",
    "plot_voronoi",
]
