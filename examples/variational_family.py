"""The whole variational family on one data set: `python examples/variational_family.py`.

Trains each variant on the same digits with the same networks, and compares the log-probability of unseen
digits, the number of latents in use, the quality of samples and of reconstructions.
`variational_family_output/samples.png` has one row of samples per model; the last two rows are from an
autoencoder without a prior, decoded from normal noise and from a density fitted to its codes
(`LatentSampler`). `vq_vae.png` shows digits above their reconstructions by a VQ-VAE from four codes each.
"""

import quiet_start  # isort: skip

import time
from pathlib import Path

import keras
import numpy as np

import keras_genmod as kg

OUTPUT = Path("variational_family_output")
LATENT_DIM = 8
EPOCHS = 40


def variants(train):
    """Name -> model, all with the default networks."""
    common = {"latent_dim": LATENT_DIM, "seed": 1}
    shape = (8, 8, 1)
    vamp = kg.distributions.VampPrior(50, pseudo_inputs=train[:50])
    rise = kg.training.LinearSchedule(8.0, steps=1_000)
    return {
        "VAE": kg.VAE(shape, **common),
        "VAE, full covariance": kg.VAE(shape, posterior="full_covariance", **common),
        "VAE, mixture prior": kg.VAE(shape, prior="gaussian_mixture", **common),
        "VAE, VampPrior": kg.VAE(shape, prior=vamp, **common),
        "VAE, free bits": kg.VAE(shape, free_bits=0.5, **common),
        "VAE, capacity": kg.VAE(shape, beta=10.0, capacity=rise, **common),
        "IWAE, 20 draws": kg.IWAE(shape, num_importance_samples=20, **common),
        "beta-TCVAE": kg.BetaTCVAE(shape, beta=4.0, num_examples=len(train), **common),
        "DIP-VAE II": kg.DIPVAE(shape, kind="II", off_diagonal=5.0, **common),
        "FactorVAE": kg.FactorVAE(shape, gamma=5.0, **common),
        "InfoVAE": kg.InfoVAE(shape, mmd_weight=100.0, **common),
        "WAE": kg.WAE(shape, likelihood="bernoulli", mmd_weight=100.0, **common),
    }


def main():
    digits = kg.data.load("digits")
    train, test = (kg.data.binarize(digits[split] / 16) for split in ("train", "test"))
    OUTPUT.mkdir(exist_ok=True)
    rows = {"data": test[:16]}
    print(f"{'':<28}{'log p(x)':>10}{'active':>8}{'coverage':>10}{'rebuilt':>9}")
    for name, model in variants(train).items():
        samples = fit(model, train).sample(300, seed=0).numpy()
        log_prob = f"{np.mean(model.log_prob(test, num_samples=500)):.2f}"
        show(name, model, test, samples, log_prob, kg.metrics.active_units(model.encode(test)))
        rows[name] = samples[:16]

    autoencoder = fit(kg.Autoencoder((8, 8, 1), latent_dim=LATENT_DIM, seed=1), train)
    noise = np.random.default_rng(0).normal(size=(300, LATENT_DIM))
    sampler = kg.applications.LatentSampler(autoencoder, seed=0).fit(train)
    for name, samples in {
        "autoencoder, normal noise": autoencoder.decode(noise).numpy(),
        "autoencoder, LatentSampler": sampler.sample(300, seed=0),
    }.items():
        show(name, autoencoder, test, samples)
        rows[name] = samples[:16]
    figure = kg.plots.images(rows, title="Samples of the variational family: means of p(x|z)")
    figure.savefig(OUTPUT / "samples.png")

    vq_vae = fit(kg.VQVAE((8, 8, 1), num_codes=64, code_dim=16, seed=1), train)
    codes = vq_vae.encode(test)
    used = kg.metrics.CodeUsage(64)
    used.update_state(codes)
    show("VQ-VAE", vq_vae, test)
    print(f"{'':<28}each digit in {codes[0].shape} codes of 64, perplexity {float(used.result()):.0f}")
    title = "VQ-VAE: digits from four discrete codes each"
    figure = kg.plots.reconstructions(vq_vae, test[:16], columns=16, title=title)
    figure.savefig(OUTPUT / "vq_vae.png")
    print(f"\nWrote {OUTPUT / 'samples.png'} and {OUTPUT / 'vq_vae.png'}")
    print(f"\nDone in {time.perf_counter() - quiet_start.STARTED:.0f} s.")


def fit(model, train):
    """Trains a model and returns it."""
    optimizers = [keras.optimizers.Adam(2e-3)]
    if isinstance(model, kg.FactorVAE):
        optimizers.append(keras.optimizers.Adam(1e-4))  # Of its discriminator.
    model.compile(*optimizers)
    model.fit(train, batch_size=32, epochs=EPOCHS, verbose=0)
    return model


def show(name, model, test, samples=None, log_prob="", active=""):
    """Prints a row; `coverage` is the fraction of test digits with a sample among their neighbours."""
    coverage = ""
    if samples is not None:
        flat = samples.reshape(len(samples), -1)
        coverage = f"{kg.metrics.density_coverage(test.reshape(len(test), -1), flat)['coverage']:.2f}"
    right = np.mean((np.asarray(model.reconstruct(test)) > 0.5) == test)
    print(f"{name:<28}{log_prob:>10}{active!s:>8}{coverage:>10}{right:>9.1%}", flush=True)


if __name__ == "__main__":
    main()
