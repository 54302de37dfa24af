"""What the estimators share: parameters, names of features, and model files."""

from __future__ import annotations

import functools
import inspect
import os
from typing import Any, ClassVar, TypeVar

from numpy.typing import ArrayLike, NDArray

from fastkm import files, outputs, validation
from fastkm.bases import Estimator, NotFittedError, at_home, join, joins
from fastkm.monitor import Callback

Array = NDArray[Any]
Self = TypeVar("Self", bound="Parameters")

# `copy_x` and `algorithm` change nothing here: X is never written to, and every engine
# gives the same result.
NOT_OF_KMEANS = {"copy_x", "algorithm", "warm_start"}


@joins("sklearn.base.BaseEstimator")
class Parameters(Estimator):
    """The parameters of a fit, stored as given and checked when fitting."""

    cluster_centers_: Array
    n_features_in_: int
    # What a model file may hold beside centers, inertia and number of iterations.
    _saved: ClassVar[tuple[str, ...]] = ("feature_names_in_",)
    # How samples are checked: `as_samples` where they have to be dense floats.
    _read: ClassVar[Any] = staticmethod(validation.as_input)

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        init: Any = "k-means++",
        n_init: int | str = "auto",
        max_iter: int = 300,
        tol: float = 1e-4,
        verbose: int = 0,
        random_state: validation.Seed = None,
        copy_x: bool = True,
        algorithm: str = "lloyd",
        warm_start: bool = False,
        frozen: ArrayLike | None = None,
        n_threads: int | None = None,
        engine: str = "auto",
        n_swaps: int = 0,
        callback: Callback | None = None,
        max_time: float | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        max_memory: float | str | None = None,
        labels_out: outputs.Target = None,
    ) -> None:
        join()
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.verbose = verbose
        self.random_state = random_state
        self.copy_x = copy_x
        self.algorithm = algorithm
        self.warm_start = warm_start
        self.frozen = frozen
        self.n_threads = n_threads
        self.engine = engine
        self.n_swaps = n_swaps
        self.callback = callback
        self.max_time = max_time
        self.checkpoint = checkpoint
        self.max_memory = max_memory
        self.labels_out = labels_out

    @classmethod
    @functools.cache  # 0.1 ms, as long as many a fit
    def _defaults(cls) -> dict[str, Any]:
        """Parameters of the constructor, subclasses' included, with their defaults."""
        parameters = inspect.signature(cls.__init__).parameters
        return {name: p.default for name, p in parameters.items() if name != "self"}

    def _clustering(self) -> dict[str, Any]:
        """Give the parameters of `fastkm.kmeans`, the others checked and left out."""
        validation.check_algorithm(self.algorithm, self.n_clusters)
        validation.check_flag(self.copy_x, "copy_x")
        options = {name: getattr(self, name) for name in OF_KMEANS}
        warm = validation.check_flag(self.warm_start, "warm_start")
        if warm and hasattr(self, "cluster_centers_"):
            options |= {"init": self.cluster_centers_, "n_init": 1}
        return options

    def __sklearn_tags__(self) -> Any:
        """Describe the estimator to scikit-learn."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self._read is validation.as_input
        return tags

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Give the parameters by name (`deep` has no effect: none holds another)."""
        return {name: getattr(self, name) for name in self._defaults()}

    def set_params(self: Self, **params: Any) -> Self:
        """Set parameters by name; the object itself is returned."""
        for name in params:
            if name not in self._defaults():
                raise ValueError(
                    f"Invalid parameter {name!r} for {type(self).__name__}; valid "
                    f"parameters are: {list(self._defaults())}"
                )
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        """Show the parameters that differ from their defaults."""
        given = [
            f"{name}={getattr(self, name)!r}"
            for name, default in self._defaults().items()
            if not _same(getattr(self, name), default)
        ]
        return f"{type(self).__name__}({', '.join(given)})"

    def _keep_names(self, names: Array | None) -> None:
        """Set `feature_names_in_` to the `feature_names` of a fit."""
        vars(self).pop("feature_names_in_", None)
        if names is not None:
            self.feature_names_in_ = names

    def _compare_names(self, X: Any) -> None:
        """Let scikit-learn warn or raise where the names are not those of the fit."""
        if (_has_names(X) or hasattr(self, "feature_names_in_")) and at_home():
            from sklearn.utils.validation import validate_data

            validate_data(self, X, reset=False, skip_check_array=True)

    def _check_fitted(self) -> None:
        if not hasattr(self, "cluster_centers_"):
            join()
            raise NotFittedError(
                f"This {type(self).__name__} instance is not fitted yet. Call 'fit' "
                "with samples before using this method."
            )

    def _check_samples(self, X: ArrayLike) -> Any:
        """Samples for a fitted model."""
        self._check_fitted()
        self._compare_names(X)
        return self._read(
            X, n_features=self.n_features_in_, expected_by=type(self).__name__
        )

    def save(self, path: files.PathLike) -> None:
        """Write the fitted model to a file, for `load`. No pickle is involved.

        The file is a .npz archive with the parameters, the centers and what else
        `predict` needs; `labels_` and `report_` are not in it. A parameter that is
        neither a number, a string nor an array (a callable, a Generator) is left out:
        the loaded model has its default.

        Parameters
        ----------
        path : str or path-like
            A file that is there already is replaced once all is written.

        Raises
        ------
        NotFittedError
            If there is nothing to save yet.
        OSError
            If the file cannot be written.
        """
        self._check_fitted()
        model = files.Model(
            self.cluster_centers_,
            getattr(self, "inertia_", None),
            getattr(self, "n_iter_", None),
            type(self).__name__,
            self.get_params(),
            {name: vars(self)[name] for name in self._saved if name in vars(self)},
        )
        with files.replacing(path) as file:
            files.save_model(file, model)

    @classmethod
    def load(cls: type[Self], path: files.PathLike) -> Self:
        """Read a model that `save`, or `python -m fastkm fit`, has written.

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it is no whole, valid model of this class, of a version that is known;
            the message names the file.

        Examples
        --------
        >>> import os, tempfile
        >>> from fastkm import KMeans
        >>> model = KMeans(2, random_state=0).fit([[0.0], [1.0], [9.0]])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "model.npz")
        ...     model.save(path)
        ...     KMeans.load(path).predict([[8.0]]) == model.predict([[8.0]])
        array([ True])
        """
        found = files.load_model(path, cls.__name__, cls._defaults(), cls._saved)
        model = cls(**found.parameters)
        model.cluster_centers_ = found.centers
        model.n_features_in_ = found.centers.shape[1]
        names = found.extras.get("feature_names_in_")
        if names is not None and names.shape != found.centers.shape[1:]:
            raise ValueError(f"{path}: damaged model: {names.size} names of features")
        fitted = {"inertia_": found.inertia, "n_iter_": found.n_iter, **found.extras}
        vars(model).update({k: v for k, v in fitted.items() if v is not None})
        return model


OF_KMEANS = [name for name in Parameters._defaults() if name not in NOT_OF_KMEANS]


def feature_names(X: Any) -> Array | None:
    """Names of a DataFrame's columns, as scikit-learn (if installed) takes them."""
    if not _has_names(X) or not at_home():
        return None
    from sklearn.utils.validation import validate_data

    probe = Parameters()  # a fit that fails later must not leave its names behind
    validate_data(probe, X, reset=True, skip_check_array=True)
    return getattr(probe, "feature_names_in_", None)


def _has_names(X: Any) -> bool:
    return hasattr(X, "columns") or hasattr(X, "column_names")


def _same(value: Any, default: Any) -> bool:
    return value is default or (type(value) is type(default) and value == default)
