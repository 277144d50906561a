"""Callbacks for looking at a model during `fit`."""

__all__ = []
