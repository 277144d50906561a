"""Facades from label maps: `python examples/reproduce/facades.py`.

Trains `kg.Pix2Pix` on the 400 pairs of the CMP facades, reduced to 64x64, and beside it the same U-Net with
the L1 distance alone. On the 100 test pairs it prints L1, PSNR and SSIM, the *label recovery* (how many
pixels' labels a segmenter, trained on the real training pairs, reads off a picture; real photographs are its
upper bound) and the kernel distance to the real test photographs, in the segmenter's features. Rows: the mean
photograph, the photograph of the nearest label map, the U-Net with L1 alone, pix2pix, real photographs.

Takes about an hour on two CPU cores. The folder named by KERAS_GENMOD_DATA holds the pictures.
"""

import argparse
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import keras_genmod as kg
from keras_genmod.core.images import image_grid, write_png
from keras_genmod.metrics import absolute_error, kernel_distance, psnr, ssim

NUM_CLASSES = 12


def main():
    arguments = parse()
    output = Path(arguments.output) / "facades"
    output.mkdir(parents=True, exist_ok=True)
    data = kg.data.load("facades")
    colours = palette(data["train_labels"])
    labels, photos = {}, {}
    for split in ("train", "test"):
        labels[split] = nearest_colour(data[f"{split}_labels"], colours)
        photos[split] = data[split].astype("float32") / 127.5 - 1.0
    segmenter, features = train_segmenter(photos["train"], labels["train"], arguments.segmenter_epochs)

    candidates = {
        "mean photograph": np.repeat(photos["train"].mean(0, keepdims=True), 100, axis=0),
        "photograph of the nearest map": photos["train"][nearest(labels["test"], labels["train"])],
    }
    pairs = tf.data.Dataset.from_tensor_slices((labels["train"], photos["train"])).cache()
    for name, adversarial in (("U-Net, L1 alone", 0.0), ("pix2pix", 1.0)):
        model = train(pairs, adversarial, arguments, output)
        candidates[name] = model.translate(labels["test"]).numpy()
        print(f"{name}: {model.evaluate(labels['test'], photos['test'], return_dict=True, verbose=0)}")
    candidates["real photographs"] = photos["test"]

    real = features.predict(photos["test"], verbose=0)
    print(f"{'':<32}{'L1':>8}{'PSNR':>8}{'SSIM':>8}{'recovery':>10}{'kernel distance':>24}")
    for name, pictures in candidates.items():
        l1, decibels, similarity = (
            float(np.mean(figure))
            for figure in (
                absolute_error(photos["test"], pictures),
                psnr(photos["test"], pictures, (-1, 1)),
                ssim(photos["test"], pictures, (-1, 1)),
            )
        )
        found = segmenter.predict(pictures, verbose=0).argmax(-1)
        recovery = np.mean(found == labels["test"])
        distance = kernel_distance(real, features.predict(pictures, verbose=0))
        print(f"{name:<32}{l1:8.4f}{decibels:8.2f}{similarity:8.4f}{recovery:10.4f}   {distance}")
    chosen = np.arange(0, 100, 9)[:10]
    rows = [colours[labels["test"][chosen]] / 127.5 - 1.0]
    rows += [candidates[name][chosen] for name in ("U-Net, L1 alone", "pix2pix", "real photographs")]
    write_png(output / "facades.png", image_grid(rows, columns=len(chosen), value_range=(-1, 1)))


def train(pairs, adversarial, arguments, output):
    model = kg.Pix2Pix(
        (64, 64),
        (64, 64, 3),
        source_classes=NUM_CLASSES,
        filters=arguments.filters,
        adversarial=adversarial,
        dropout=0.5,
        augmentation=kg.layers.PairedAugmentation() if adversarial else None,
        seed=0,
    )
    model.compile(steps_per_execution=10)
    batches = pairs.shuffle(400, seed=1, reshuffle_each_iteration=True).batch(arguments.batch_size)
    started = time.perf_counter()
    model.fit(
        kg.data.augment_pairs(batches, seed=0, translation=0.06),
        epochs=arguments.epochs,
        verbose=2,
        callbacks=[keras.callbacks.CSVLogger(output / f"log_{'gan' if adversarial else 'l1'}.csv")],
    )
    model.save(output / f"{'pix2pix' if adversarial else 'l1'}.keras")
    print(f"{arguments.epochs} epochs in {(time.perf_counter() - started) / 60:.1f} min", flush=True)
    return model


def train_segmenter(photos, labels, epochs):
    """A U-Net from photographs to classes, trained on the real training pairs, and its features.

    Photographs are mirrored, shifted, and varied in brightness and contrast, so that the segmenter goes by
    shapes and texture. The features of a picture are the means over squares of 16x16 pixels of the U-Net's
    last channels.
    """
    x = keras.Input((64, 64, 3))
    network = kg.networks.unet(
        (64, 64, 3), (64, 64, 32), filters=32, output_activation="relu", initial_stddev=None, seed=3
    )
    varied = keras.layers.RandomContrast(0.4, value_range=(-1, 1), seed=4)(x)
    varied = keras.layers.RandomBrightness(0.3, value_range=(-1, 1), seed=5)(varied)
    h = network(varied)
    segmenter = keras.Model(x, keras.layers.Conv2D(NUM_CLASSES, 1)(keras.layers.Dropout(0.3, seed=6)(h)))
    segmenter.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, 50 * epochs)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    pairs = tf.data.Dataset.from_tensor_slices((photos, labels)).cache().shuffle(400, seed=2).batch(8)
    segmenter.fit(kg.data.augment_pairs(pairs, seed=3, translation=0.1), epochs=epochs, verbose=2)
    return segmenter, keras.Model(x, keras.layers.Flatten()(keras.layers.AveragePooling2D(16)(h)))


def palette(maps):
    """The colours of the classes: the most frequent ones that differ by more than blending at edges does."""
    colours, counts = np.unique(maps.reshape(-1, 3), axis=0, return_counts=True)
    chosen = []
    for colour in colours[np.argsort(-counts)].astype(int):
        if all(np.abs(colour - other).max() > 40 for other in chosen):
            chosen.append(colour)
        if len(chosen) == NUM_CLASSES:
            break
    return np.array(chosen)


def nearest_colour(maps, colours):
    """Class indices `[N, height, width]` of maps of colours."""
    distance = ((maps[..., None, :].astype("int32") - colours) ** 2).sum(-1)
    return distance.argmin(-1).astype("int32")


def nearest(maps, others):
    """For each map the index of the one among others that agrees in the most pixels."""
    return np.array([np.mean(others == one, axis=(1, 2)).argmax() for one in maps])


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--segmenter-epochs", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--filters", type=int, default=32)
    parser.add_argument("--output", default="reproduce_output")
    return parser.parse_args()


if __name__ == "__main__":
    main()
