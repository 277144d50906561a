"""Variational autoencoders."""

from keras_genmod.models.variational.beta_tcvae import BetaTCVAE
from keras_genmod.models.variational.debiasing_vae import DebiasingVAE
from keras_genmod.models.variational.dip_vae import DIPVAE
from keras_genmod.models.variational.factor_vae import FactorVAE
from keras_genmod.models.variational.info_vae import WAE, InfoVAE
from keras_genmod.models.variational.iwae import IWAE
from keras_genmod.models.variational.vae import VAE
from keras_genmod.models.variational.vq_vae import VQVAE

__all__ = ["DIPVAE", "IWAE", "VAE", "VQVAE", "WAE", "BetaTCVAE", "DebiasingVAE", "FactorVAE", "InfoVAE"]
