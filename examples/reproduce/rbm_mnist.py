"""A restricted Boltzmann machine of 500 units on fixed-binarised MNIST, beside the published likelihood.

    python examples/reproduce/rbm_mnist.py [--method pcd] [--steps 5] [--epochs 150] [--rate 0.05]

Trains by gradient descent with a rate that falls linearly to 0. Every ten epochs log Z is estimated by
annealed importance sampling with 1,000 temperatures, and the weights with the best validation likelihood are
kept. These are evaluated on the test set, once, with `--temperatures` temperatures and 100 chains. Prints the
row: negative log-likelihood in nats, with the standard error over examples, that of log Z, the effective
sample size, and the reverse estimate from the training data, which is on the other side of log Z. The folder
`--output` receives the curve, the model, samples and filters.

Published (nats): about 86.34 with CD-25 (On the Quantitative Analysis of Deep Belief Networks, Salakhutdinov
and Murray, 2008), on MNIST that is binarised anew at every presentation; the set here is fixed.
"""

import argparse
import math
import time
from pathlib import Path

import keras
import numpy as np
from density_training import write_rows

import keras_genmod as kg


class ValidLikelihood(keras.callbacks.Callback):
    """Estimates the likelihood of the validation set every few epochs, and keeps the best weights."""

    def __init__(self, valid, every=10):
        super().__init__()
        self.valid, self.every, self.best = valid, every, None

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every:
            return
        estimate = self.model.log_partition(method="estimate")
        nll = -float(np.mean(self.model.log_prob(self.valid, log_partition=estimate)))
        size = float(estimate.effective_sample_size)
        print(f"epoch {epoch + 1}: valid nll {nll:.2f} (effective sample size {size:.0f} of 100)", flush=True)
        if self.best is None or nll < self.best[0]:
            self.best = nll, epoch + 1, self.model.get_weights()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--hidden", type=int, default=500)
    parser.add_argument("--method", default="pcd")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--chains", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--rate", type=float, default=0.05)
    parser.add_argument("--temperatures", type=int, default=20_000)
    parser.add_argument("--output", default="reproduce_output/energy/rbm_mnist")
    arguments = parser.parse_args()
    output = Path(arguments.output)
    output.mkdir(parents=True, exist_ok=True)
    sets = kg.data.load("binarized_mnist")
    x = {name: values.astype("float32").reshape(len(values), 28, 28, 1) for name, values in sets.items()}
    start = time.perf_counter()
    model = kg.RBM(
        (28, 28, 1),
        hidden_dim=arguments.hidden,
        method=arguments.method,
        num_gibbs_steps=arguments.steps,
        num_chains=arguments.chains,
        proxies=False,
        seed=0,
    )
    steps = arguments.epochs * math.ceil(len(x["train"]) / 100)
    schedule = keras.optimizers.schedules.PolynomialDecay(arguments.rate, steps, 0.0)
    model.compile(keras.optimizers.SGD(schedule))
    selection = ValidLikelihood(x["valid"])
    model.fit(
        x["train"],
        validation_data=x["valid"],
        validation_freq=10,
        batch_size=100,
        epochs=arguments.epochs,
        verbose=0,
        callbacks=[selection, keras.callbacks.CSVLogger(output / "curve.csv")],
    )
    minutes = (time.perf_counter() - start) / 60
    _, epoch, weights = selection.best
    model.set_weights(weights)
    found = model.log_partition(method="estimate", num_temperatures=arguments.temperatures)
    reverse = model.log_partition(method="reverse", start=x["train"], num_temperatures=arguments.temperatures)
    model.save(output / "model.keras")
    samples = np.asarray(model.sample(64, seed=0))
    kg.write_png(output / "samples.png", kg.image_grid(samples, 8, scale=2))
    nats = {name: -np.asarray(model.log_prob(x[name]), "float64") for name in ("valid", "test")}
    test = nats["test"]
    difference = float(reverse.value) - float(found.value)
    row = {
        "data": "binarized_mnist",
        "model": f"rbm_{arguments.hidden}_{arguments.method}_{arguments.steps}",
        "test nll (AIS)": f"{test.mean():.2f} +- {test.std() / math.sqrt(len(test)):.2f}",
        "error of log Z": f"{float(found.error):.3f}",
        "effective sample size": f"{float(found.effective_sample_size):.0f} of 100",
        "test nll by reverse AIS": f"{test.mean() + difference:.2f}",
        "valid nll": f"{nats['valid'].mean():.2f}",
        "weights": f"{sum(int(np.prod(w.shape)) for w in model.trainable_weights):,}",
        "epoch": epoch,
        "minutes of training": f"{minutes:.1f}",
        "minutes in all": f"{(time.perf_counter() - start) / 60:.1f}",
    }
    write_rows(output / "result.csv", [row])
    print(", ".join(f"{name}: {value}" for name, value in row.items()), flush=True)


if __name__ == "__main__":
    main()
