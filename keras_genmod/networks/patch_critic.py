"""The discriminator of patches, and the receptive field of a convolutional network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_genmod.core.checks import check_integer, check_shape_tuple
from keras_genmod.core.precision import real_dtype
from keras_genmod.networks.building import hidden_and_last, network, under_its_policy
from keras_genmod.networks.tracing import functional_of
from keras_genmod.networks.translating import Convolutions, source_input

__all__ = ["RECEPTIVE_FIELDS", "patch_critic", "receptive_field"]

# Side of the patches -> number of strided convolutions; 1 is a critic of single pixels.
RECEPTIVE_FIELDS = {1: 0, 16: 1, 34: 2, 70: 3, 142: 4, 286: 5}


@under_its_policy
def patch_critic(
    input_shape: Sequence[int],
    *,
    source_shape: Sequence[int] | None = None,
    source_classes: int | None = None,
    receptive_field: int = 70,
    filters: int = 64,
    normalization: str = "instance",
    embedding_dim: int = 8,
    initial_stddev: float | None = 0.02,
    dtype: Any = None,
    seed: int | None = None,
    name: str = "patch_critic",
) -> keras.Model:
    """Convolutions that give each patch of a picture a logit, `[B, height, width, 1]`.

    n 4x4 convolutions of stride 2 and two of stride 1 see patches of side 9 * 2^n - 2; the critic of single
    pixels has 1x1 convolutions. Patches at the border see zeros beyond it.

    Args:
        input_shape: `(height, width, channels)` of the picture that is judged.
        source_shape: Shape of the source that it belongs to, for a critic of pairs; sides that divide the
            picture's are enlarged by repetition, sides that are a multiple are reduced by averaging.
        source_classes: Number of classes, if sources are maps of class indices.
        receptive_field: Side of a patch: 1, 16, 34, 70, 142 or 286 pixels.
        filters: Number of channels of the first layer; they double up to 8 times it.
        normalization: "instance", "batch" or "none"; the first layer has none. Instance normalisation
            divides by statistics of the whole picture, beyond the patch.
        embedding_dim: Number of channels that class indices are embedded into.
        initial_stddev: Standard deviation of normally distributed initial weights; None uses He normal
            (Glorot uniform in the last layer).
        dtype: Keras dtype policy of the layers.
        seed: Seeds the initial weights.
        name: Name of the network.

    Returns:
        A built `keras.Model` of `x`, or of `[x, source]`.

    Raises:
        ValueError: For another receptive field, or sides of the source that do not fit.

    Cost: grows with height times width, and with the square of `filters`.

    Reference: Image-to-Image Translation with Conditional Adversarial Networks, Isola et al., 2017.

    Example:
        >>> critic = patch_critic((64, 64, 3), receptive_field=34, filters=8)
        >>> critic.output_shape
        (None, 16, 16, 1)
    """
    input_shape = check_shape_tuple("input_shape", input_shape, ranks=(3,))
    if receptive_field not in RECEPTIVE_FIELDS:
        raise ValueError(
            f"`receptive_field` must be one of {list(RECEPTIVE_FIELDS)}, the side of a patch in pixels; "
            f"received {receptive_field!r}. Choose one below the picture's sides, or build a network of "
            "your own."
        )
    hidden, last = hidden_and_last(seed, initial_stddev)
    conv = Convolutions(hidden, normalization, dtype)
    x = keras.Input(input_shape, dtype=real_dtype().name, name="x")
    inputs, h = [x], x
    if source_shape is not None:
        source, s = source_input(
            source_shape,
            source_classes,
            name="source",
            embedding_dim=embedding_dim,
            kernel_initializer=next(hidden),
            dtype=dtype,
        )
        inputs.append(source)
        s = _of_sides(s, input_shape[:2], dtype)
        h = keras.layers.Concatenate(dtype=dtype, name="pair")([x, s])
    filters, halvings = check_integer("filters", filters), RECEPTIVE_FIELDS[receptive_field]
    size = 4 if halvings else 1
    h = conv(
        h,
        filters,
        size,
        strides=2 if halvings else 1,
        name="conv_0",
        normalize=False,
        activation=conv.leaky_relu,
    )
    for index in range(1, max(halvings, 1) + 1):
        # The last one before the logits keeps the size.
        strides = 2 if index < halvings else 1
        width = filters * min(2**index, 8)
        h = conv(h, width, size, strides=strides, name=f"conv_{index}", activation=conv.leaky_relu)
    h = conv(h, 1, size, name="logits", normalize=False, kernel_initializer=next(last))
    return network(inputs, h, name)


def _of_sides(h: Any, sides: Sequence[int], dtype: Any) -> Any:
    """A source brought to the sides of the picture beside it, by whole factors."""
    have = tuple(h.shape[1:3])
    if have == tuple(sides):
        return h
    factors = {want / side for want, side in zip(sides, have, strict=True)}
    factor = factors.pop()
    if not factors and factor == int(factor):
        return keras.layers.UpSampling2D(int(factor), dtype=dtype, name="source_size")(h)
    if not factors and 1 / factor == int(1 / factor):
        return keras.layers.AveragePooling2D(int(1 / factor), dtype=dtype, name="source_size")(h)
    raise ValueError(
        f"The sides of `source_shape` must be those of the picture, {tuple(sides)}, times or divided by one "
        f"integer; received {have}. Resize the sources."
    )


def receptive_field(network: keras.Model) -> int:
    r"""The side of the square of input pixels that one output of a convolutional network depends on.

    Layers of kernel $k_l$, dilation $d_l$ and stride $s_l$ see

    $$ r = 1 + \sum_l (k_l - 1) d_l \prod_{m < l} s_m $$

    pixels. Layers without a kernel count as seeing one pixel: normalisation of a whole picture is left out.

    Args:
        network: A functional or sequential network of one path, with square kernels.

    Raises:
        TypeError: For another kind of network.
        ValueError: For a layer that enlarges, or a kernel that is not square.

    Example:
        >>> receptive_field(patch_critic((64, 64, 3), receptive_field=34, filters=4))
        34
    """
    functional = functional_of(network)
    if functional is None:
        raise TypeError(
            "`receptive_field` needs a functional or sequential network, whose layers it can read; received "
            f"a {type(network).__name__}. Build it with `keras.Model(inputs, outputs)`."
        )
    field, jump = 1, 1
    for layer in functional.layers:
        transposed = isinstance(layer, keras.layers.Conv2DTranspose)
        enlarges = transposed or isinstance(layer, keras.layers.UpSampling2D) and field > 1
        kernel = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
        if kernel is not None and layer.name == "source_size":
            continue
        if enlarges or (kernel is not None and len(set(kernel)) > 1):
            raise ValueError(
                "`receptive_field` counts square kernels that do not enlarge; received the layer "
                f"{layer.name!r}. Count it by gradients."
            )
        if kernel is not None:
            dilation = getattr(layer, "dilation_rate", (1, 1))
            field += (kernel[0] - 1) * dilation[0] * jump
            jump *= layer.strides[0]
    return field
