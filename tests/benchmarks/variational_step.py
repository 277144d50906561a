"""A training step of the variational family through `fit` beside pythae's own trainer, on the CPU.

    pip install torch==2.13.0 pythae    # PyTorch's build for CPUs
    python -m tests.benchmarks.variational_step [--model vae] [--rounds 3]

Same networks (pythae's default: one layer of 512 each way, 16 latents; FactorVAE's discriminator has five of
1000), batch of 100, Adam, Bernoulli likelihood, 784 pixels, threads. Each library runs its own loop over its
own pipeline: pythae's trainer with its data loader, `fit` with and without several steps per execution. Each
side has processes of its own, which take turns; every process trains for a few epochs and reports the median
of those behind the first, measured from the first step's begin to the last one's end. Memory is the most that
a process had, libraries included. `loss` is each side's own, of the last epoch: the objectives of a row are
the same mathematics (means over the batch of sums over pixels) but for WAE and VQVAE, whose reconstruction
is a squared error in pythae, VQVAE's terms being averaged over code dimensions there, and FactorVAE, whose
batch pythae splits in two halves, so that each of its steps has half the examples of ours in each part.
DIPVAE is not in pythae.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from tests.benchmarks.common import (
    binary_images,
    hardware,
    median,
    peak_memory_mb,
    print_steps,
    take_turns,
    write_report,
)
from tests.benchmarks.training_steps import fit_seconds

BATCH_SIZE = 100
LATENT_DIM = 16
NUM_THREADS = len(os.sched_getaffinity(0))
STEPS_PER_EPOCH = 100
NUM_EPOCHS = 5
MODELS = ("vae", "iwae", "vamp", "beta_tcvae", "info_vae", "wae", "factor_vae", "vq_vae")
SIDES = {
    "pythae": ("--worker=pythae",),
    "fit": ("--worker=fit",),
    "fit, 10 steps per execution": ("--worker=fit_10",),
}


def make_model(name: str):
    """The model of this package."""
    import keras

    import keras_genmod as kg

    code, parameters = ((1, LATENT_DIM),) * 2 if name == "vq_vae" else ((LATENT_DIM,), (2 * LATENT_DIM,))
    dense = kg.networks.dense_network
    networks = {
        "encoder": dense((784,), parameters, hidden_dims=(512,), name="encoder"),
        "decoder": dense(code, (784,), hidden_dims=(512,), name="decoder"),
    }
    if name == "vq_vae":
        return kg.VQVAE((784,), num_codes=512, code_dim=LATENT_DIM, num_latents=1, seed=0, **networks)
    classes = {"iwae": kg.IWAE, "beta_tcvae": kg.BetaTCVAE, "info_vae": kg.InfoVAE, "wae": kg.WAE}
    options = {
        "iwae": {"num_importance_samples": 10},
        "vamp": {"prior": kg.distributions.VampPrior(50)},
        "beta_tcvae": {"beta": 6.0, "num_examples": STEPS_PER_EPOCH * BATCH_SIZE},
        "info_vae": {"alpha": 0.5, "mmd_weight": 10.0},
        "wae": {"likelihood": "bernoulli", "mmd_weight": 10.0},
    }.get(name, {})
    if name == "factor_vae":
        classes[name] = kg.FactorVAE
        options["discriminator"] = dense(
            (LATENT_DIM,),
            (1,),
            hidden_dims=(1000,) * 5,
            activation=keras.layers.LeakyReLU(0.2),
            name="discriminator",
        )
    return classes.get(name, kg.VAE)((784,), latent_dim=LATENT_DIM, seed=0, **{**networks, **options})


def pythae_seconds(name: str, images: np.ndarray) -> tuple[list[float], float]:
    """Seconds of each epoch of pythae's trainer, and the loss of the last."""
    import logging

    import torch
    from pythae import models, trainers
    from pythae.data.datasets import BaseDataset
    from pythae.trainers.training_callbacks import TrainingCallback

    logging.disable(logging.INFO)
    torch.set_num_threads(NUM_THREADS)
    kinds = {
        "vae": (models.VAE, models.VAEConfig, {}),
        "iwae": (models.IWAE, models.IWAEConfig, {"number_samples": 10}),
        "vamp": (models.VAMP, models.VAMPConfig, {"number_components": 50}),
        "beta_tcvae": (models.BetaTCVAE, models.BetaTCVAEConfig, {"beta": 6.0, "use_mss": False}),
        "info_vae": (models.INFOVAE_MMD, models.INFOVAE_MMD_Config, {"alpha": 0.5, "lbd": 10.0}),
        "wae": (models.WAE_MMD, models.WAE_MMD_Config, {"reg_weight": 10.0}),
        "factor_vae": (models.FactorVAE, models.FactorVAEConfig, {"gamma": 10.0}),
        "vq_vae": (models.VQVAE, models.VQVAEConfig, {"use_ema": True, "num_embeddings": 512}),
    }
    model_class, config_class, options = kinds[name]
    if name not in ("wae", "vq_vae"):  # Their loss is always the squared error.
        options["reconstruction_loss"] = "bce"
    model = model_class(config_class(input_dim=(784,), latent_dim=LATENT_DIM, **options))

    class Clock(TrainingCallback):
        """From the begin of an epoch's steps to the end of the last."""

        def __init__(self):
            self.seconds, self.loss = [], None

        def on_train_step_begin(self, training_config, **kwargs):
            self.start, self.steps = time.perf_counter(), 0

        def on_train_step_end(self, training_config, **kwargs):
            self.steps += 1
            if self.steps == STEPS_PER_EPOCH:
                self.seconds.append(time.perf_counter() - self.start)

        def on_log(self, training_config, logs, **kwargs):
            self.loss = float(logs.get("train_epoch_loss", self.loss or 0.0))

    clock = Clock()
    kind = "AdversarialTrainer" if name == "factor_vae" else "BaseTrainer"
    rates = (
        {"autoencoder_learning_rate": 1e-3, "discriminator_learning_rate": 1e-4}
        if name == "factor_vae"
        else {"learning_rate": 1e-3}
    )
    with tempfile.TemporaryDirectory() as folder:
        config = getattr(trainers, f"{kind}Config")(
            output_dir=folder,
            per_device_train_batch_size=BATCH_SIZE,
            num_epochs=NUM_EPOCHS,
            no_cuda=True,
            **rates,
        )
        data = BaseDataset(torch.from_numpy(images), torch.zeros(len(images)))
        getattr(trainers, kind)(model, data, training_config=config, callbacks=[clock]).train()
    return clock.seconds, clock.loss


def work(options: argparse.Namespace) -> None:
    """One process: trains, and reports."""
    images = binary_images(STEPS_PER_EPOCH * BATCH_SIZE, (784,), options.data)
    if options.worker == "pythae":
        seconds, loss = pythae_seconds(options.model, images)
    else:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(NUM_THREADS)
        model = make_model(options.model)
        model.compile(steps_per_execution=10 if options.worker == "fit_10" else 1)
        seconds, loss = fit_seconds(model, images, BATCH_SIZE, NUM_EPOCHS)
    step = [second / STEPS_PER_EPOCH * 1e3 for second in seconds[1:]]
    write_report({"step": median(step), "best": min(step), "loss": loss, "memory": peak_memory_mb()})


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=[*MODELS, "all"], default="all")
    parser.add_argument("--data", choices=["random", "mnist"], default="random")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options)
        return
    print(hardware("torch", "pythae", "tensorflow", "keras", "tensorflow-probability"))
    for name in MODELS if options.model == "all" else [options.model]:
        reports = take_turns(
            "tests.benchmarks.variational_step",
            SIDES,
            options.rounds,
            f"--model={name}",
            f"--data={options.data}",
        )
        print_steps(f"{name}, batch {BATCH_SIZE}, {NUM_THREADS} threads", reports, "pythae")


if __name__ == "__main__":
    main()
