"""Deep generative models for Keras 3 on TensorFlow: every classical family as a `keras.Model`."""

import keras as _keras

if _keras.backend.backend() != "tensorflow":
    raise ImportError(
        "keras_genmod needs Keras' TensorFlow backend; received "
        f"{_keras.backend.backend()!r}. Set the environment variable KERAS_BACKEND=tensorflow before "
        "Keras is imported, or edit ~/.keras/keras.json."
    )

from keras_genmod import (
    applications,
    bijectors,
    callbacks,
    data,
    distributions,
    layers,
    losses,
    metrics,
    networks,
    serving,
    training,
)
from keras_genmod.core.images import image_grid, write_png
from keras_genmod.core.version import __version__
from keras_genmod.models import (
    DCGAN,
    DIPVAE,
    FVSBN,
    GAN,
    IAF,
    IWAE,
    MADE,
    MAF,
    NADE,
    NICE,
    VAE,
    VQVAE,
    WAE,
    WGAN_GP,
    Autoencoder,
    BernoulliMixture,
    BetaTCVAE,
    FactorVAE,
    GaussianMixture,
    Glow,
    InfoVAE,
    KernelDensity,
    NeuralSplineFlow,
    NormalizingFlow,
    PixelCNN,
    PixelRNN,
    RealNVP,
)

__all__ = [
    "DCGAN",
    "DIPVAE",
    "FVSBN",
    "GAN",
    "IAF",
    "IWAE",
    "MADE",
    "MAF",
    "NADE",
    "NICE",
    "VAE",
    "VQVAE",
    "WAE",
    "WGAN_GP",
    "Autoencoder",
    "BernoulliMixture",
    "BetaTCVAE",
    "FactorVAE",
    "GaussianMixture",
    "Glow",
    "InfoVAE",
    "KernelDensity",
    "NeuralSplineFlow",
    "NormalizingFlow",
    "PixelCNN",
    "PixelRNN",
    "RealNVP",
    "__version__",
    "applications",
    "bijectors",
    "callbacks",
    "data",
    "distributions",
    "image_grid",
    "layers",
    "losses",
    "metrics",
    "networks",
    "serving",
    "training",
    "write_png",
]
