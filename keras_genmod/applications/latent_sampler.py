r"""A density over the codes of a trained encoder, which lets any autoencoder generate new examples.

An autoencoder has no prior, and the codes of a variational autoencoder are not distributed exactly as its
prior. A density fitted to the codes after training yields latent vectors where codes lie, and the decoder
maps them to examples.

Reference: From Variational to Deterministic Autoencoders, Ghosh, Sajjadi, Vergari, Black and Schoelkopf,
2020 (ex-post density estimation, with a mixture of ten normal distributions).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_genmod.applications.latents import check_capability, decode, encode
from keras_genmod.core.checks import check_integer
from keras_genmod.core.noise import check_seed
from keras_genmod.core.optional import optional_module

__all__ = ["LatentSampler"]


class LatentSampler:
    """Draws new examples from a density over a model's codes.

    Args:
        model: Any model with `encode` and `decode` whose codes are vectors.
        density: The density to fit to the codes: any object with `fit(z)` and
            `sample(num_samples, seed=...)`, such as a compiled density model of this library over
            `[latent_dim]`. None uses a mixture of normal distributions with full covariances, fitted by
            scikit-learn's expectation maximisation.
        num_components: Number of components of that mixture.
        seed: Seeds the mixture's initialisation.

    Raises:
        TypeError: If the model lacks one of these methods, or its codes are discrete.

    Example:
        >>> import numpy as np, keras_genmod as kg
        >>> model = kg.Autoencoder((4,), latent_dim=2, seed=0)
        >>> sampler = LatentSampler(model, num_components=1).fit(np.eye(4, dtype="float32"))
        >>> sampler.sample(3, seed=1).shape
        (3, 4)
    """

    def __init__(
        self, model: Any, density: Any = None, *, num_components: int = 10, seed: int | None = None
    ) -> None:
        for name in ("encode", "decode"):
            check_capability(model, name, what="`LatentSampler`")
        self.model = model
        self.density = density
        self.num_components = check_integer("num_components", num_components)
        self.seed = check_seed(seed)
        self._standard: tuple[np.ndarray, np.ndarray] | None = None

    def fit(self, x: Any, condition: Any = None, **options: Any) -> LatentSampler:
        """Encodes examples and fits the density to their codes, standardised to mean 0 and variance 1.

        Args:
            x: Data `[N, *event_shape]`.
            condition: One condition for all rows, or one per row.
            **options: Further arguments of the density's own `fit`, such as `epochs`.

        Returns:
            This sampler.

        Raises:
            ValueError: If there are fewer examples than components.
        """
        z = encode(self.model, x, condition, what="`LatentSampler`")
        if z.ndim != 2:
            raise TypeError(
                f"`LatentSampler` needs codes that are vectors, [N, latent_dim]; received {z.shape}. Choose "
                "a model whose latent space has one axis."
            )
        density = self.density
        if density is None:
            if len(z) < self.num_components:
                raise ValueError(
                    f"A mixture of {self.num_components} components needs at least as many examples; "
                    f"received {len(z)}. Pass more, or a smaller `num_components`."
                )
            density = _Mixture(self.num_components, self.seed)
        mean, scale = z.mean(axis=0), z.std(axis=0)
        # A latent dimension that is constant stays so: it is multiplied by a scale of 0 when sampling.
        density.fit(((z - mean) / np.where(scale > 0, scale, 1.0)).astype("float32"), **options)
        self._fitted, self._standard = density, (mean, scale)
        return self

    def sample(self, num_samples: int, *, condition: Any = None, seed: Any = None) -> np.ndarray:
        """New examples `[num_samples, *event_shape]`, decoded from codes that the density draws.

        Args:
            num_samples: Number of samples to draw.
            condition: One condition for all samples, or one per sample. The density over the codes does not
                depend on it.
            seed: Integer; None draws anew at every call.

        Raises:
            RuntimeError: If `fit` has not been called.
        """
        z = self.sample_latents(num_samples, seed=seed)
        return decode(self.model, z, condition, what="`LatentSampler`")

    def sample_latents(self, num_samples: int, *, seed: Any = None) -> np.ndarray:
        """Codes from the density, `[num_samples, latent_dim]`.

        Args:
            num_samples: Number of samples to draw.
            seed: Integer; None draws anew at every call.

        Raises:
            RuntimeError: If `fit` has not been called.
        """
        num_samples = check_integer("num_samples", num_samples)
        if self._standard is None:
            raise RuntimeError("There is no density yet: call `fit` with examples first.")
        mean, scale = self._standard
        return np.asarray(self._fitted.sample(num_samples, seed=seed)) * scale + mean


class _Mixture:
    """scikit-learn's mixture, whose `sample` takes a seed at every call."""

    def __init__(self, num_components: int, seed: int | None) -> None:
        mixture = optional_module("sklearn.mixture", what="The density of `LatentSampler`")
        self._mixture = mixture.GaussianMixture(num_components, random_state=seed, reg_covar=1e-5)

    def fit(self, z: np.ndarray) -> None:
        self._mixture.fit(z)

    def sample(self, num_samples: int, *, seed: int | None = None) -> np.ndarray:
        generator = np.random.default_rng(seed)
        weights, means = self._mixture.weights_, self._mixture.means_
        which = generator.choice(len(weights), size=num_samples, p=weights / weights.sum())
        factors = np.linalg.cholesky(self._mixture.covariances_)
        noise = generator.standard_normal((num_samples, means.shape[1]))
        return means[which] + np.einsum("nij,nj->ni", factors[which], noise)
