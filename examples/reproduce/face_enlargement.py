"""Faces four times as large: `python examples/reproduce/face_enlargement.py`.

Trains `kg.SuperResolution` from 16x16 to 64x64 pixels on the Olivetti faces of 32 people and measures it on
those of 8 others. Rows: bicubic enlargement, ridge regression from patches of the small picture, the pixel
loss alone, and the pixel loss with a content loss and a critic. Figures: PSNR, SSIM, and the kernel distance
to the real pictures in the features of a network that tells the 32 people apart. Another such network, from
another seed, serves for the content loss.

Takes about 20 minutes on two CPU cores. The folder named by KERAS_GENMOD_DATA holds the faces.
"""

import argparse
import time
from pathlib import Path

import keras
import numpy as np

import keras_genmod as kg
from keras_genmod.core.images import image_grid, write_png
from keras_genmod.layers import BicubicDownsampling, BicubicUpsampling
from keras_genmod.metrics import kernel_distance, psnr, ssim

SCALE = 4


def main():
    arguments = parse()
    output = Path(arguments.output) / "faces"
    output.mkdir(parents=True, exist_ok=True)
    faces = kg.data.load("olivetti_faces")
    pictures = np.concatenate([faces[part] for part in ("train", "valid", "test")]) / 255.0
    people = np.concatenate([faces[f"{part}_labels"] for part in ("train", "valid", "test")])
    pictures = pictures.astype("float32")
    # People from 32 on are never seen in training.
    train, test = pictures[people < 32], pictures[people >= 32]
    train = np.concatenate([train, train[:, :, ::-1]])
    names = np.tile(people[people < 32], 2)
    judge, _ = train_recogniser(train, names, seed=0)
    _, content = train_recogniser(train, names, seed=1)

    low = np.clip(BicubicDownsampling(SCALE)(test).numpy(), 0.0, 1.0)
    candidates = {"bicubic": np.clip(BicubicUpsampling(SCALE)(low).numpy(), 0.0, 1.0)}
    candidates["ridge regression of patches"] = ridge(train, low)
    plain = fit(arguments, train, output, "pixel")
    candidates["pixel loss"] = plain.upscale(low).numpy()
    options = {
        "perceptual": content,
        "perceptual_weight": arguments.perceptual,
        "adversarial": arguments.adversarial,
        "generator": plain.generator,
    }
    sharp = fit(arguments, train, output, "content and critic", **options)
    candidates["pixel, content and critic"] = sharp.upscale(low).numpy()
    candidates["real pictures"] = test

    real = judge.predict(test, verbose=0)
    print(f"{'':<32}{'PSNR':>8}{'SSIM':>8}{'kernel distance':>20}")
    for name, x in candidates.items():
        figures = [float(np.mean(figure)) for figure in (psnr(test, x, (0, 1)), ssim(test, x, (0, 1)))]
        distance = kernel_distance(real, judge.predict(x, verbose=0))
        print(f"{name:<32}{figures[0]:8.2f}{figures[1]:8.4f}   {distance}")
    chosen = np.arange(0, len(test), 9)[:8]
    small = np.repeat(np.repeat(low[chosen], SCALE, 1), SCALE, 2)
    rows = [small, *(x[chosen] for name, x in candidates.items() if "ridge" not in name)]
    write_png(output / "faces.png", image_grid(rows, columns=len(chosen)))


def fit(arguments, train, output, name, **options):
    model = kg.SuperResolution((16, 16, 1), SCALE, filters=arguments.filters, num_blocks=4, seed=0, **options)
    adversarial = options.get("adversarial", 0.0)
    epochs = arguments.epochs // 2 if adversarial else arguments.epochs
    steps = epochs * -(-len(train) // arguments.batch_size)
    rate = keras.optimizers.schedules.CosineDecay(2e-4 if adversarial else 1e-3, steps)
    model.compile(keras.optimizers.Adam(rate, beta_1=0.9), steps_per_execution=10)
    started = time.perf_counter()
    model.fit(train, batch_size=arguments.batch_size, epochs=epochs, verbose=2)
    model.save(output / f"{name.replace(' ', '_')}.keras")
    print(f"{name}: {epochs} epochs in {(time.perf_counter() - started) / 60:.1f} min", flush=True)
    return model


def train_recogniser(pictures, names, seed):
    """A network that tells people apart: its last features, and its second ones for the content loss."""
    keras.utils.set_random_seed(seed)
    x = h = keras.Input(pictures.shape[1:])
    for index, filters in enumerate((16, 32, 64)):
        h = keras.layers.Conv2D(filters, 3, padding="same", activation="relu")(h)
        if index == 1:
            content = h
        h = keras.layers.MaxPooling2D()(h)
    h = keras.layers.Dense(64, activation="relu")(keras.layers.Flatten()(h))
    network = keras.Model(x, keras.layers.Dense(32)(keras.layers.Dropout(0.3)(h)))
    network.compile(
        "adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
    )
    network.fit(pictures, names, batch_size=32, epochs=20, verbose=0)
    print(f"Recogniser: accuracy {network.evaluate(pictures, names, verbose=0)[1]:.3f} on its faces")
    return keras.Model(x, h), keras.Model(x, content)


def ridge(train, low, reach=2, weight=1e-3):
    """Each 4x4 square of the large picture from the 5x5 pixels of the small one around it."""
    small = BicubicDownsampling(SCALE)(train).numpy()
    inputs = patches(small, reach)
    height = train.shape[1] // SCALE
    squares = train.reshape(-1, height, SCALE, height, SCALE).transpose(0, 1, 3, 2, 4).reshape(-1, SCALE**2)
    mean = inputs[:, inputs.shape[1] // 2, None]
    x, y = inputs - mean, squares - mean
    kernel = np.linalg.solve(x.T @ x + weight * len(x) * np.eye(x.shape[1]), x.T @ y)
    asked = patches(low, reach)
    mean = asked[:, asked.shape[1] // 2, None]
    result = ((asked - mean) @ kernel + mean).reshape(-1, height, height, SCALE, SCALE)
    return np.clip(result.transpose(0, 1, 3, 2, 4).reshape(-1, 64, 64, 1), 0.0, 1.0).astype("float32")


def patches(pictures, reach):
    """All squares of `2 * reach + 1` pixels, `[N * height * width, (2 * reach + 1)^2]`."""
    padded = np.pad(pictures[..., 0], [(0, 0), (reach, reach), (reach, reach)], mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * reach + 1,) * 2, axis=(1, 2))
    return windows.reshape(-1, (2 * reach + 1) ** 2).astype("float64")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--filters", type=int, default=32)
    parser.add_argument("--perceptual", type=float, default=0.1, help="weight of the content loss")
    parser.add_argument("--adversarial", type=float, default=0.002, help="weight of the critic")
    parser.add_argument("--output", default="reproduce_output")
    return parser.parse_args()


if __name__ == "__main__":
    main()
