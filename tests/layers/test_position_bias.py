"""A bias for each row and column."""

import keras
import numpy as np

from keras_genmod.layers import PositionBias


def test_each_pixel_gets_its_rows_and_its_columns_bias():
    layer = PositionBias()
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype("float32")
    np.testing.assert_array_equal(layer(x), x)
    rows, columns = (
        np.random.default_rng(i).normal(size=(n, 5)).astype("float32") for i, n in ((1, 3), (2, 4))
    )
    layer.set_weights([rows, columns])
    expected = [[[x[b, r, c] + rows[r] + columns[c] for c in range(4)] for r in range(3)] for b in range(2)]
    np.testing.assert_allclose(layer(x), expected, rtol=1e-6, atol=1e-6)


def test_the_walk_adds_the_same():
    layer = PositionBias()
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 6)).astype("float32")
    layer.build(x.shape)
    layer.set_weights(
        [np.random.default_rng(i).normal(size=(n, 6)).astype("float32") for i, n in ((1, 3), (2, 4))]
    )
    expected = layer(x).numpy()
    walker = layer.walker(2, 4)
    stacks = np.split(x, 2, axis=-1)
    for row in range(3):
        _, context, above = walker.start_row((), row, None)
        # Of two stacks the vertical one, first in the channels, is there for the whole row.
        vertical = np.swapaxes(stacks[0][:, row], 0, 1)
        _, beside, moved = walker.start_row((), row, vertical)
        assert above is None
        np.testing.assert_allclose(np.swapaxes(moved, 0, 1), expected[:, row, :, :3], rtol=1e-6, atol=1e-6)
        for column in range(4):
            outputs, _, _ = walker.step(context[column], (), x[:, row, column])
            np.testing.assert_allclose(outputs, expected[:, row, column], rtol=1e-6, atol=1e-6)
            outputs, _, _ = walker.step(beside[column], (), stacks[1][:, row, column])
            np.testing.assert_allclose(outputs, expected[:, row, column, 3:], rtol=1e-6, atol=1e-6)


def test_a_configuration_rebuilds_the_layer():
    config = keras.saving.serialize_keras_object(PositionBias(name="place"))
    assert keras.saving.deserialize_keras_object(config).name == "place"
