"""What a training leaves behind."""

import gc
import weakref

import keras
import numpy as np

import keras_genmod as kg


def test_a_model_that_is_no_longer_used_leaves_the_memory():
    """TensorFlow keeps the functions of data pipelines; they must not keep the model."""
    x = np.eye(4, dtype="float32")
    model = kg.VAE((4,), latent_dim=2, seed=0)
    model.compile()
    model.fit(x, validation_data=x, batch_size=2, verbose=0)
    model.log_prob(x)
    gone = weakref.ref(model)
    del model
    keras.backend.clear_session()
    gc.collect()
    assert gone() is None
