"""Disentanglement of drawn sprites: VAE, beta-VAE, beta-TCVAE, FactorVAE, three seeds each.

    python examples/reproduce/sprites_disentanglement.py [--minutes 3] [--seeds 3]

All models have the same convolutional networks and six latents, and are trained on all pictures without their
factors (shape, scale, orientation, x, y: 3 x 4 x 8 x 8 x 8 pictures of 32 pixels). Then the codes of all
pictures, which are the posteriors' means, are evaluated by: mutual information gap (Chen et al., 2018),
disentanglement, completeness and informativeness by a forest (Eastwood and Williams, 2018), SAP (Kumar et
al., 2018), total correlation of the Gaussian with the codes' covariance. The table has means and standard
deviations over the seeds. `--output` receives the table, each run's figures, and the first seed's traversals
with one row per latent.

Published figures are for dSprites, 737,280 pictures of 64 pixels, after 300,000 steps and more, and are not
comparable with these; Locatello et al., 2019, found there that seeds matter as much as the objective.
"""

import argparse
import time
from pathlib import Path

import keras
import numpy as np
from density_training import CosineOverTime, write_rows

import keras_genmod as kg
from keras_genmod import metrics

LATENT_DIM = 6
MODELS = {
    "VAE": lambda **o: kg.VAE(**o),
    "beta-VAE, beta 4": lambda **o: kg.VAE(beta=4.0, **o),
    "beta-TCVAE, beta 6": lambda **o: kg.BetaTCVAE(beta=6.0, **o),
    "FactorVAE, gamma 10": lambda **o: kg.FactorVAE(gamma=10.0, **o),
}


def scores(codes, factors):
    """The measures of codes, by name."""
    dci = metrics.dci(codes, factors, predictor="random_forest")
    active = codes[:, codes.var(axis=0) > 0.01]
    return {
        "MIG": metrics.mutual_information_gap(codes, factors),
        "DCI disentanglement": dci.disentanglement,
        "DCI completeness": dci.completeness,
        "DCI informativeness": dci.informativeness,
        "SAP": metrics.sap_score(codes, factors),
        "active latents": active.shape[1],
        "total correlation, nats": metrics.gaussian_total_correlation(active),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3, help="time of each training")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", default="reproduce_output/sprites")
    arguments = parser.parse_args()
    output = Path(arguments.output)
    output.mkdir(parents=True, exist_ok=True)
    sprites = kg.data.Sprites(32, num_scales=4, num_orientations=8, num_positions=8, turn=0.25)
    factors = sprites.factors(np.arange(len(sprites)))
    x = sprites.draw(factors).astype("float32")

    rows = []
    for name, build in MODELS.items():
        for seed in range(arguments.seeds):
            start = time.perf_counter()
            model = build(event_shape=(32, 32, 1), latent_dim=LATENT_DIM, seed=seed)
            if isinstance(model, kg.FactorVAE):
                model.compile()
            else:
                model.compile(keras.optimizers.Adam(1e-3))
            clock = CosineOverTime(arguments.minutes)
            history = model.fit(x, batch_size=64, epochs=10_000, verbose=0, callbacks=[clock]).history
            codes = model.encode(x).numpy()
            row = {"model": name, "seed": seed, "epochs": len(next(iter(history.values())))}
            row |= {key: round(float(value), 4) for key, value in scores(codes, factors).items()}
            rows.append(row)
            print(row, f"{(time.perf_counter() - start) / 60:.1f} min", flush=True)
            if seed == 0:
                draw_traversals(model, x[1234], output / f"{name.split(',')[0]}.png")
    write_rows(output / "result.csv", rows)
    print_summary(rows)


def draw_traversals(model, start, path):
    """One row of pictures per latent dimension of a model, which varies from -2 to 2."""
    pictures = kg.applications.traverse(model, start, values=np.linspace(-2, 2, 9))
    kg.write_png(path, kg.image_grid(pictures.reshape(-1, *start.shape), columns=9, scale=2))


def print_summary(rows):
    """Mean and standard deviation of each figure over the seeds."""
    names = [name for name in rows[0] if name not in ("model", "seed", "epochs")]
    print("| model | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 1) + "|")
    for model in MODELS:
        cells = []
        for name in names:
            values = [row[name] for row in rows if row["model"] == model]
            cells.append(f"{np.mean(values):.2f} ± {np.std(values):.2f}")
        print(f"| {model} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
