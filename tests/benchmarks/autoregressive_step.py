"""A training step of MADE and PixelCNN through `fit` beside hand-written steps, on the CPU.

    pip install torch==2.13.0    # the build for CPUs
    python -m tests.benchmarks.autoregressive_step [--model made] [--rounds 5] [--without-torch]

The sides are those of `tests.benchmarks.training_steps`; by hand, masks are constants. Everywhere the masked
convolutions have the upper half of their kernels only. MADE: 784 variables, 500 hidden units, batch 100;
PixelCNN: 32 filters, 5 residual blocks, no position bias, batch 64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache

import numpy as np

from tests.benchmarks.common import binary_images
from tests.benchmarks.training_steps import SEED, Case, run_cases

HIDDEN_DIM = 500
FILTERS, NUM_BLOCKS = 32, 5


# ---- what all sides share: the masks, and the order of the layers ----------------------------------


@cache
def made_masks() -> list[np.ndarray]:
    """Of the hidden units, whose degrees go evenly from 1 to 783, and of the outputs."""
    places = np.arange(1, 785)
    degrees = 1 + np.arange(HIDDEN_DIM) * 783 // HIDDEN_DIM
    masks = [places[:, None] <= degrees, degrees[:, None] < places]
    return [mask.astype("float32") for mask in masks]


@cache
def pixel_cnn_masks() -> list[np.ndarray]:
    """Of all convolutions in their order, `[rows, width, C, F]`: rows up to the pixel's own."""
    half = FILTERS // 2
    block = [(1, FILTERS, half), (3, half, half), (1, half, FILTERS)]
    heads = [(1, FILTERS, FILTERS), (1, FILTERS, FILTERS), (1, FILTERS, 1)]
    masks = []
    for number, (size, inputs, outputs) in enumerate([(7, 1, FILTERS), *block * NUM_BLOCKS, *heads]):
        mask = np.ones((size // 2 + 1, size, inputs, outputs), "float32")
        # To the right of the pixel; the first layer does not see the pixel itself either.
        mask[-1, size // 2 + (number > 0) :] = 0.0
        masks.append(mask)
    return masks


def apply_convolutions(x, convolutions: list[Callable], relu: Callable):
    """The network of PixelCNN, given its convolutions as functions: logits."""
    first, *blocks = convolutions[: 1 + 3 * NUM_BLOCKS]
    h = first(x)
    for start in range(0, len(blocks), 3):
        inner = h
        for convolution in blocks[start : start + 3]:
            inner = convolution(relu(inner))
        h = h + inner
    for convolution in convolutions[1 + 3 * NUM_BLOCKS :]:
        h = convolution(relu(h))
    return h


# ---- this package ---------------------------------------------------------------------------------


def make_made():
    """MADE of this package."""
    import keras_genmod as kg

    return kg.MADE((784,), hidden_dims=(HIDDEN_DIM,), seed=SEED)


def make_pixel_cnn():
    """PixelCNN of this package."""
    import keras_genmod as kg

    options = {"filters": FILTERS, "num_blocks": NUM_BLOCKS, "position_bias": False}
    return kg.PixelCNN((28, 28, 1), seed=SEED, **options)


# ---- hand-written with TensorFlow -----------------------------------------------------------------


def masked(weights: Sequence, masks: Sequence[np.ndarray]) -> Iterable[tuple]:
    """Masked kernel and bias of each layer."""
    for mask, kernel, bias in zip(masks, weights[::2], weights[1::2], strict=True):
        yield (kernel if mask.all() else kernel * mask), bias


def cross_entropy(logits, x):
    """The negative log-likelihood of each row."""
    import tensorflow as tf

    return tf.reduce_sum(tf.nn.softplus(logits) - x * logits, axis=list(range(1, len(x.shape))))


def made_nll(x, weights: Sequence):
    """MADE with plain operations."""
    import tensorflow as tf

    (kernel, bias), (output_kernel, output_bias) = masked(weights, made_masks())
    hidden = tf.nn.relu(tf.matmul(x, kernel) + bias)
    return cross_entropy(tf.matmul(hidden, output_kernel) + output_bias, x)


def pixel_cnn_nll(x, weights: Sequence):
    """PixelCNN with plain operations."""
    import tensorflow as tf

    def convolution(kernel, bias) -> Callable:
        up, side = kernel.shape[0] - 1, kernel.shape[1] // 2
        padding = [[0, 0], [up, 0], [side, side], [0, 0]] if side else "VALID"
        return lambda h: tf.nn.bias_add(tf.nn.conv2d(h, kernel, 1, padding), bias)

    convolutions = [convolution(*layer) for layer in masked(weights, pixel_cnn_masks())]
    return cross_entropy(apply_convolutions(x, convolutions, tf.nn.relu), x)


# ---- PyTorch --------------------------------------------------------------------------------------


def torch_density(masks: list[np.ndarray], logits: Callable) -> tuple[list, Callable]:
    """The weights under masks in PyTorch's layout, and the function from data to losses of rows."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    masks = [torch.from_numpy(mask.copy()) for mask in masks]
    kernels = [torch.nn.init.xavier_uniform_(torch.empty_like(mask)).requires_grad_() for mask in masks]
    biases = [torch.zeros(len(mask), requires_grad=True) for mask in masks]
    masks = [None if mask.all() else mask for mask in masks]

    def nll(x):
        layers = [
            (kernel if mask is None else kernel * mask, bias)
            for mask, kernel, bias in zip(masks, kernels, biases, strict=True)
        ]
        losses = binary_cross_entropy_with_logits(logits(x, layers), x, reduction="none")
        return losses.flatten(1).sum(1)

    return [*kernels, *biases], nll


def torch_made() -> tuple[list, Callable]:
    """MADE in PyTorch."""
    from torch.nn.functional import linear, relu

    def logits(x, layers):
        hidden, output = layers
        return linear(relu(linear(x, *hidden)), *output)

    return torch_density([mask.T for mask in made_masks()], logits)


def torch_pixel_cnn() -> tuple[list, Callable]:
    """PixelCNN in PyTorch, channels first."""
    from torch.nn.functional import conv2d, pad, relu

    def convolution(kernel, bias) -> Callable:
        up, side = kernel.shape[2] - 1, kernel.shape[3] // 2
        return lambda h: conv2d(pad(h, (side, side, up, 0)) if side else h, kernel, bias)

    def logits(x, layers):
        return apply_convolutions(x, [convolution(*layer) for layer in layers], relu)

    weights, nll = torch_density([mask.transpose(3, 2, 0, 1) for mask in pixel_cnn_masks()], logits)
    # One channel: both layouts are the same numbers.
    return weights, lambda x: nll(x.reshape(-1, 1, 28, 28))


CASES = {
    "made": Case(lambda n: binary_images(n, (784,)), make_made, torch_made, made_nll, 100, 100),
    "pixel_cnn": Case(
        lambda n: binary_images(n, (28, 28, 1)), make_pixel_cnn, torch_pixel_cnn, pixel_cnn_nll, 64, 10
    ),
}

if __name__ == "__main__":
    run_cases("tests.benchmarks.autoregressive_step", __doc__, CASES)
