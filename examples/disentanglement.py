"""Latents that encode one factor each: `python examples/disentanglement.py`.

Draws all small sprites of three shapes in four sizes at 7 x 7 positions, trains a VAE and a beta-TCVAE on
them without labels, and measures which latent encodes which factor. Two pictures of traversals go to
`disentanglement_output/`, with one row per latent.
"""

import quiet_start  # isort: skip

import time
from pathlib import Path

import keras
import numpy as np

import keras_genmod as kg
from keras_genmod import metrics

OUTPUT = Path("disentanglement_output")
LATENT_DIM = 5


def main():
    sprites = kg.data.Sprites(16, num_scales=4, num_orientations=1, num_positions=7)
    factors = sprites.factors(np.arange(len(sprites)))
    x = sprites.draw(factors).astype("float32")
    names = [name for name in sprites.factor_names if name != "orientation"]
    factors = np.delete(factors, sprites.factor_names.index("orientation"), axis=1)
    print(f"{len(x)} sprites, factors: {', '.join(names)}")

    start = x[len(x) // 2]
    for name, model in {
        "VAE": kg.VAE(start.shape, **networks(start.shape)),
        "beta-TCVAE": kg.BetaTCVAE(start.shape, beta=4.0, **networks(start.shape)),
    }.items():
        model.compile(keras.optimizers.Adam(1e-3))
        model.fit(x, batch_size=64, epochs=400, verbose=0)
        codes = model.encode(x).numpy()
        dci = metrics.dci(codes, factors, predictor="random_forest")
        print(
            f"\n{name}: mutual information gap {metrics.mutual_information_gap(codes, factors):.2f},", end=" "
        )
        print(f"DCI disentanglement {dci.disentanglement:.2f}, completeness {dci.completeness:.2f}")
        information = metrics.mutual_information(codes, factors)
        print(f"{'nats of information about':<30}" + "".join(f"{factor:>8}" for factor in names))
        for dim, row in enumerate(information):
            print(f"{f'  latent {dim}':<30}" + "".join(f"{nats:>8.2f}" for nats in row))
        title = f"{name}: sprites along each latent"
        figure = kg.plots.traversals(model, start, values=np.linspace(-2, 2, 9), title=title)
        OUTPUT.mkdir(exist_ok=True)
        figure.savefig(OUTPUT / f"{name.lower()}.png")
        print(f"Wrote {OUTPUT / name.lower()}.png")
    print(f"\nDone in {time.perf_counter() - quiet_start.STARTED:.0f} s.")


def networks(shape):
    """Dense networks, since the pictures are small."""
    dense = kg.networks.dense_network
    return {
        "latent_dim": LATENT_DIM,
        "encoder": dense(shape, (2 * LATENT_DIM,), hidden_dims=(256, 256), seed=0, name="encoder"),
        "decoder": dense((LATENT_DIM,), shape, hidden_dims=(256, 256), seed=1, name="decoder"),
        "seed": 0,
    }


if __name__ == "__main__":
    main()
