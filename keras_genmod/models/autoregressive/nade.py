r"""NADE: one hidden layer per variable, with shared weights.

$$ h_d = f\Big(c + \sum_{j < d} x_j W_j\Big), \qquad p(x_d \mid x_{<d}) = p(x_d;\ b_d + V_d h_d) $$

Trained over random orders, the same weights serve all D! orders; the density is then the mean over several.

References: The Neural Autoregressive Distribution Estimator, Larochelle and Murray, 2011; RNADE: The
Real-Valued Neural Autoregressive Density-Estimator, Uria, Murray and Larochelle, 2013; A Deep and Tractable
Density Estimator, Uria, Murray and Larochelle, 2014 (orders).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.core.checks import check_integer
from keras_genmod.core.registration import register
from keras_genmod.models.autoregressive.autoregressive_model import AutoregressiveModel
from keras_genmod.models.autoregressive.factors import get_factor_head
from keras_genmod.networks.nade import NADENetwork
from keras_genmod.networks.ordered import check_ordering

__all__ = ["NADE"]


@register
class NADE(AutoregressiveModel):
    """The neural autoregressive distribution estimator.

    Args:
        event_shape: Shape of one example, of any rank.
        hidden_dim: Number of units of the hidden layer.
        ordering: "natural", "reverse", "random" (one order, drawn from the seed) or the indices of the
            variables in the order of drawing.
        order_agnostic: Whether each training step uses a random order of its own. The hidden layer then also
            takes which variables are known, and `ordering` must be "random" or omitted.
        num_orderings: With `order_agnostic`, the number of orders whose densities `log_prob`, `evaluate` and
            `sample` average.
        likelihood: "bernoulli", "categorical", "gaussian" (with predicted scale), another name or a head.
        activation: Activation of the hidden layer. The paper uses "sigmoid"; "relu" learns images several
            times faster, and with weight decay better.
        num_classes, condition_shape, seed, name, dtype: As in `GenerativeModel`.

    Logs: as `AutoregressiveModel`.

    Cost: O(D H) per example, for a density (times `num_orderings`) and for a sample. Blocks of variables run
    in parallel, so training on a CPU is faster if each operation uses one thread
    (`tf.config.threading.set_intra_op_parallelism_threads(1)`).

    Example:
        >>> import numpy as np
        >>> model = NADE((4,), hidden_dim=8, seed=0)
        >>> model.compile()
        >>> _ = model.fit(np.eye(4, dtype="float32"), epochs=1, verbose=0)
        >>> model.log_prob(np.eye(4)).shape
        TensorShape([4])
    """

    # All D hidden layers of a row are in memory at the same time.
    _rows_per_pass = 128

    def __init__(
        self,
        event_shape: Sequence[int],
        *,
        hidden_dim: int = 500,
        ordering: Any = None,
        order_agnostic: bool = False,
        num_orderings: int = 8,
        likelihood: Any = "bernoulli",
        activation: Any = "sigmoid",
        **kwargs: Any,
    ) -> None:
        super().__init__(event_shape, **kwargs)
        self.hidden_dim = check_integer("hidden_dim", hidden_dim)
        self.order_agnostic = bool(order_agnostic)
        self.num_orderings = check_integer("num_orderings", num_orderings)
        if ordering is None:
            ordering = "random" if self.order_agnostic else "natural"
        self.ordering = check_ordering(ordering, self.event_shape)
        if self.order_agnostic and self.ordering != "random":
            raise ValueError(
                "`order_agnostic` trains over random orders, so `ordering` must be 'random' or omitted; "
                f"received {ordering!r}. For one fixed order, omit `order_agnostic`."
            )
        self.activation = keras.activations.get(activation)
        head = get_factor_head(likelihood, self.event_shape, self.real_dtype)
        network = NADENetwork(
            self.event_shape,
            head.params_per_dim,
            hidden_dim=self.hidden_dim,
            activation=self.activation,
            mask_inputs=self.order_agnostic,
            ordering=self.ordering,
            num_orders=self.num_orderings if self.order_agnostic else 1,
            condition=self._condition_spec,
            seed=self.seed,
            dtype=self.dtype_policy,
            name="network",
        )
        self._use(network, head)

    def _training_order(self, seed: tf.Tensor) -> Any:
        """A random order from the step's seed."""
        if not self.order_agnostic:
            return None
        return tf.argsort(tf.random.stateless_uniform([self.network.num_variables], seed))

    def _order_from(self, mask: np.ndarray) -> tf.Tensor | None:
        """An order with the given variables first, which is one of the D! orders of training."""
        if not self.order_agnostic or not np.all(mask == mask[:1]):
            return None
        order = np.asarray(self.network.variables_in_order())
        given = mask[0].ravel()[order]
        return tf.constant(np.concatenate([order[given], order[~given]]), tf.int32)

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {
            **super().get_config(),
            "hidden_dim": self.hidden_dim,
            "ordering": self.ordering,
            "order_agnostic": self.order_agnostic,
            "num_orderings": self.num_orderings,
            "likelihood": keras.saving.serialize_keras_object(self._likelihood_head),
            "activation": keras.activations.serialize(self.activation),
        }
