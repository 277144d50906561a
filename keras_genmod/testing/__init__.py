"""Testing: what every model promises, as functions that try the promises on a model of your own."""

from keras_genmod.testing.case import Case
from keras_genmod.testing.checking import check_model, promises
from keras_genmod.testing.row import Restarted, Row, two_replicas

__all__ = ["Case", "Restarted", "Row", "check_model", "promises", "two_replicas"]
