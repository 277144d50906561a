"""Test likelihoods of the variational family on MNIST, compared with published ones.

    python examples/reproduce/variational_densities.py vae|iwae|vamp|dynamic_vae [--minutes 55]

Trains one model for a given time and prints its row: negative log-likelihood of the test set in nats by
importance sampling (200 draws per example for `vae`, 5000 for `iwae` and `vamp`; for `dynamic_vae` the bound
itself, the mean over 20 draws), number of weights, epochs, minutes. The weights are those of the epoch with
the best bound on the validation set; the test set is used once. The learning rate falls along a half cosine
over the given time. The folder `--output` receives the curve, the model, and samples.

`dynamic_vae` trains on examples that are newly binarised in every epoch and is measured on one draw of the
test set; the others use the fixed draw of Larochelle and Murray.

Published (nats): VAE 89.78 (200 draws), IWAE with 50 draws 86.82 (5000), VampPrior with 500 pseudo-inputs
85.79 (5000), all by pythae (Chadebec, Vincent and Allassonniere, 2022); the bound of a VAE on dynamically
binarised MNIST 86.77 (pytorch-generative). The encoder and decoder here have two gated layers of 300 units
each (as in the VampPrior paper, Tomczak and Welling, 2018) and 40 latents; `dynamic_vae` has 400 units and a
VampPrior of 500 pseudo-inputs. For the first third of the time `iwae` is trained with 5 draws, which cost a
tenth.
"""

import keras
import numpy as np
import tensorflow as tf
from density_training import Setting, parser, run

import keras_genmod as kg

LATENT_DIM = 40
WARM_UP = 10_000


def gated(size, outputs, name, *, width=300, rate=0.0):
    """Two layers h = (W x) * sigmoid(V x), and a linear layer."""
    inputs = h = keras.Input((size,))
    for index in range(2):
        options = {"kernel_initializer": keras.initializers.GlorotUniform(seed=index)}
        linear = keras.layers.Dense(width, name=f"linear_{index}", **options)(h)
        gate = keras.layers.Dense(width, activation="sigmoid", name=f"gate_{index}", **options)(h)
        h = keras.layers.Multiply(name=f"gated_{index}")([linear, gate])
        if rate:
            h = keras.layers.Dropout(rate, seed=index, name=f"dropout_{index}")(h)
    outputs = keras.layers.Dense(outputs, kernel_initializer=keras.initializers.GlorotUniform(seed=2))(h)
    return keras.Model(inputs, outputs, name=name)


def networks(latent_dim=LATENT_DIM, **options):
    """Encoder and decoder with two gated layers each."""
    return {
        "latent_dim": latent_dim,
        "encoder": gated(784, 2 * latent_dim, "encoder", **options),
        "decoder": gated(latent_dim, 784, "decoder", **options),
    }


def vae(x):
    return kg.VAE((784,), beta=kg.training.LinearSchedule(1.0, WARM_UP), seed=0, **networks())


def iwae(x, num_importance_samples=50):
    return kg.IWAE((784,), num_importance_samples=num_importance_samples, seed=0, **networks())


def vamp(x, **options):
    start = np.random.default_rng(0).choice(x, 500, replace=False)
    return kg.VAE(
        (784,),
        beta=kg.training.LinearSchedule(1.0, WARM_UP),
        prior=kg.distributions.VampPrior(500, pseudo_inputs=start),
        seed=0,
        **networks(**options),
    )


SETTINGS = {
    "vae": (Setting(vae, 100, weight_decay=0.1), 200),
    "iwae": (Setting(iwae, 50, weight_decay=0.1, first=lambda x: iwae(x, 5)), 5000),
    # Pseudo-inputs resemble data and need no decay.
    "vamp": (Setting(vamp, 100, weight_decay=0.1, undecayed=("raw_inputs",)), 5000),
    "dynamic_vae": (Setting(lambda x: vamp(x, width=400), 250, 2e-3), None),
}


def importance_sampled(num_samples):
    """The negative importance-weighted bound of each test example."""

    def measure(model, x):
        return f"test nll ({num_samples} draws)", -model.log_prob(x, num_samples=num_samples)

    return measure


def bound(model, x, num_draws=20):
    """The negative lower bound of each test example."""
    draws = [model.log_prob(x, num_samples=1, seed=seed) for seed in range(num_draws)]
    return "test bound", -np.mean(draws, axis=0)


def binarized_anew(x, batch_size):
    """Batches of grey values, binarised by new draws in every epoch."""
    grey = tf.data.Dataset.from_tensor_slices(x).shuffle(len(x), seed=0).batch(batch_size)
    return kg.data.dynamic_binarization(grey, seed=0)


def main():
    command = parser(__doc__, SETTINGS, output="reproduce_output/variational")
    arguments = command.parse_args()
    setting, num_samples = SETTINGS[arguments.model]
    if num_samples:
        arguments.data = "binarized_mnist"
        run(arguments, setting, kg.data.load("binarized_mnist"), measure=importance_sampled(num_samples))
        return
    arguments.data = "dynamic_mnist"
    mnist = kg.data.load("mnist")
    sets = {"train": mnist["train"] / np.float32(255)}
    for seed, name in enumerate(("valid", "test")):
        sets[name] = kg.data.stochastic_binarize(mnist[name] / np.float32(255), seed=seed)
    run(arguments, setting, sets, measure=bound, train=binarized_anew)


if __name__ == "__main__":
    main()
