"""Deep generative models for Keras 3 on TensorFlow."""

__all__ = ["__version__"]

__version__ = "0.1.0"
