"""The Parzen-window estimate of the first GAN paper: `python examples/reproduce/mnist_parzen.py`.

Trains a dense GAN on MNIST, grey values in [0, 1], then follows the protocol of Generative Adversarial Nets
(Goodfellow et al., 2014): a Gaussian kernel on each of 10,000 samples, its bandwidth chosen on the
validation set, mean log-density of the test set in nats and its standard error. The paper's figure is 225
(+- 2). For comparison the script prints the same measure for 10,000 training images. It is a weak measure (A
Note on the Evaluation of Generative Models, Theis et al., 2016), but no other figure of these models is
published.
"""

import argparse
import time
from pathlib import Path

import keras
import numpy as np

import keras_genmod as kg
from keras_genmod.metrics import choose_bandwidth, parzen_log_prob

BANDWIDTHS = np.geomspace(0.1, 0.4, 15)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--epochs", type=int, default=75)
    parser.add_argument("--output", default="reproduce_output/mnist_parzen")
    arguments = parser.parse_args()
    output = Path(arguments.output)
    mnist = kg.data.load("mnist")
    train, valid, test = (
        mnist[split].reshape(-1, 784) / np.float32(255) for split in ("train", "valid", "test")
    )

    networks = kg.networks
    model = kg.GAN(
        (784,),
        latent_dim=100,
        generator=networks.dense_generator(
            (100,), (784,), hidden_dims=(600, 600), output_activation="sigmoid", seed=0
        ),
        discriminator=networks.dense_discriminator((784,), hidden_dims=(512, 256), seed=1),
        r1=1.0,
        seed=0,
    )
    rate = keras.optimizers.schedules.CosineDecay(5e-4, arguments.epochs * len(train) // 100)
    optimizers = [keras.optimizers.Adam(rate, beta_1=0.0, beta_2=0.99) for _ in range(2)]
    model.compile(*optimizers, steps_per_execution=10)
    started = time.perf_counter()
    model.fit(train, batch_size=100, epochs=arguments.epochs, verbose=2)
    print(f"{arguments.epochs} epochs in {(time.perf_counter() - started) / 60:.0f} min")
    samples = np.asarray(model.sample(10_000, seed=0))
    output.mkdir(parents=True, exist_ok=True)
    kg.write_png(output / "samples.png", kg.image_grid(samples[:100].reshape(-1, 28, 28, 1), 10))
    model.save(output / "model.keras")
    for name, centres in (("GAN samples", samples), ("training images", train[:10_000])):
        bandwidth = choose_bandwidth(centres, valid[:1_000], BANDWIDTHS)
        nats = np.asarray(parzen_log_prob(centres, test, bandwidth))
        error = nats.std() / np.sqrt(len(nats))
        print(f"{name}: {nats.mean():.1f} +- {error:.1f} nats (bandwidth {bandwidth:.3f})", flush=True)


if __name__ == "__main__":
    main()
