"""Uses of generative models, over what a model can do, never over what it is."""

__all__ = []
