"""What tests of single families share."""

import pytest
import tensorflow as tf


@pytest.fixture
def untraced(_fresh_state):
    """Runs operation by operation what the package compiles.

    For truths that a few calls show: tracing a training step takes as long as some thousand operations. That
    compiled functions give the same numbers is a promise of all families, in tests/contract.
    """
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)
