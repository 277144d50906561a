"""A mixture of 500 Bernoulli products on fixed-binarised MNIST, compared with the published likelihood.

    python examples/reproduce/bernoulli_mixture.py [--components 500] [--epochs 60] [--pseudo-counts 0.05 0.2]

Trains one mixture per pseudo-count by expectation maximisation, one iteration per epoch, and stops when the
validation likelihood no longer rises. The mixture with the best validation likelihood is evaluated on the
test set, once. Prints its row: exact negative log-likelihood of the test set in nats, number of weights,
epochs, minutes of all trainings. The folder `--output` receives the curves, the model and samples.

Published (nats): 137.64 with 500 components (The Neural Autoregressive Distribution Estimator, Larochelle and
Murray, 2011).
"""

import argparse
import math
import time
from pathlib import Path

import keras
import numpy as np
from density_training import write_rows

import keras_genmod as kg


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--components", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--pseudo-counts", type=float, nargs="+", default=[0.05, 0.1, 0.2, 0.5])
    parser.add_argument("--output", default="reproduce_output/mixtures/bernoulli_mixture")
    arguments = parser.parse_args()
    output = Path(arguments.output)
    output.mkdir(parents=True, exist_ok=True)
    sets = kg.data.load("binarized_mnist")
    x = {name: values.astype("float32").reshape(len(values), -1) for name, values in sets.items()}
    start = time.perf_counter()
    best = None
    for pseudo_count in arguments.pseudo_counts:
        model = kg.BernoulliMixture(
            (784,), num_components=arguments.components, pseudo_count=pseudo_count, seed=0
        )
        model.compile()
        history = model.fit(
            x["train"],
            validation_data=x["valid"],
            validation_batch_size=5000,
            epochs=arguments.epochs,
            verbose=2,
            callbacks=[
                keras.callbacks.EarlyStopping(
                    "val_loss", min_delta=0.01, patience=3, restore_best_weights=True
                ),
                keras.callbacks.CSVLogger(output / f"curve_{pseudo_count:g}.csv"),
            ],
        ).history
        valid = min(history["val_loss"])
        print(f"pseudo-count {pseudo_count:g}: valid nll {valid:.2f}", flush=True)
        if best is None or valid < best[0]:
            best = valid, pseudo_count, len(history["loss"]), model
    minutes = (time.perf_counter() - start) / 60
    valid, pseudo_count, epochs, model = best
    model.save(output / "model.keras")
    samples = np.asarray(model.sample(64, seed=0)).reshape(-1, 28, 28, 1)
    kg.write_png(output / "samples.png", kg.image_grid(samples, 8, scale=2))
    nats = -np.asarray(model.log_prob(x["test"]), "float64")
    row = {
        "data": "binarized_mnist",
        "model": f"bernoulli_mixture_{arguments.components}",
        "test nll (exact)": f"{nats.mean():.2f} +- {nats.std() / math.sqrt(len(nats)):.2f}",
        "valid nll": f"{valid:.2f}",
        "pseudo-count": f"{pseudo_count:g}",
        "weights": f"{arguments.components * 785 - 1:,}",
        "epochs": epochs,
        "minutes": f"{minutes:.1f}",
    }
    write_rows(output / "result.csv", [row])
    print(", ".join(f"{name}: {value}" for name, value in row.items()), flush=True)


if __name__ == "__main__":
    main()
