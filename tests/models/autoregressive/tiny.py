"""Models so small that all of their events can be listed."""

import numpy as np

import keras_genmod as kg

PIXELS = {"first_kernel_size": 3, "seed": 0}

MODELS = {
    "fvsbn": lambda: kg.FVSBN((9,), ordering="random", seed=0),
    "made": lambda: kg.MADE((9,), hidden_dims=(20, 11), direct_connections=True, seed=0),
    "made with several masks": lambda: kg.MADE(
        (8,), hidden_dims=(5, 20), num_masks=3, ordering="random", seed=0
    ),
    "conditional made": lambda: kg.MADE((7,), hidden_dims=(12, 12), num_classes=3, seed=0),
    "nade": lambda: kg.NADE((12,), hidden_dim=6, ordering="random", seed=0),
    "nade over random orders": lambda: kg.NADE(
        (8,), hidden_dim=6, order_agnostic=True, num_orderings=3, seed=0
    ),
    "conditional nade": lambda: kg.NADE((7,), hidden_dim=6, condition_shape=(2,), seed=0),
    "pixelcnn": lambda: kg.PixelCNN((3, 3, 1), filters=6, num_blocks=2, **PIXELS),
    "pixelcnn of colours": lambda: kg.PixelCNN((2, 2, 3), filters=7, num_blocks=2, **PIXELS),
    "conditional pixelcnn": lambda: kg.PixelCNN((3, 3, 1), filters=6, num_blocks=1, num_classes=3, **PIXELS),
    "gated pixelcnn": lambda: kg.PixelCNN((3, 3, 1), filters=4, num_blocks=2, gated=True, **PIXELS),
    "gated pixelcnn of colours": lambda: kg.PixelCNN(
        (2, 2, 3), filters=6, num_blocks=1, gated=True, **PIXELS
    ),
    "conditional gated pixelcnn": lambda: kg.PixelCNN(
        (3, 3, 1), filters=10, num_blocks=1, gated=True, condition_shape=(3, 3, 2), **PIXELS
    ),
    "row lstm": lambda: kg.PixelRNN((3, 3, 1), kind="row", units=4, num_layers=2, **PIXELS),
    "row lstm of colours": lambda: kg.PixelRNN((2, 2, 3), kind="row", units=4, **PIXELS),
    "conditional row lstm": lambda: kg.PixelRNN((3, 3, 1), kind="row", units=4, num_classes=3, **PIXELS),
    "diagonal lstm": lambda: kg.PixelRNN((3, 3, 1), units=4, num_layers=2, **PIXELS),
    "diagonal lstm of colours": lambda: kg.PixelRNN((2, 2, 3), units=4, **PIXELS),
    "conditional diagonal lstm": lambda: kg.PixelRNN((2, 4, 1), units=4, condition_shape=(2,), **PIXELS),
}
VECTORS = [name for name in MODELS if "made" in name or "nade" in name or "fvsbn" in name]
IMAGES = [name for name in MODELS if name not in VECTORS]


def with_random_weights(model, stddev=0.5):
    """The model with all weights drawn anew, biases too, so that every connection matters."""
    generator = np.random.default_rng(1)
    for weight in model.trainable_weights:
        weight.assign(stddev * generator.normal(size=weight.shape).astype("float32"))
    return model


def condition_of(model, number=0):
    """One of several conditions, None for an unconditional model."""
    if model.num_classes is not None:
        return number
    if model.condition_shape is not None:
        return np.random.default_rng(number).normal(size=model.condition_shape).astype("float32")
    return None
