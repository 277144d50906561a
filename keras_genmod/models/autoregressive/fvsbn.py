r"""The fully visible sigmoid belief network: a logistic regression of each variable on the earlier ones.

$$ p(x_d = 1 \mid x_{<d}) = \sigma\Big(b_d + \sum_{j < d} W_{jd} \, x_j\Big) $$

References: Connectionist Learning of Belief Networks, Neal, 1992; Does the Wake-Sleep Algorithm Produce Good
Density Estimators?, Frey, Hinton and Dayan, 1996.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras_genmod.core.registration import register
from keras_genmod.distributions.heads import BernoulliHead
from keras_genmod.models.autoregressive.autoregressive_model import AutoregressiveModel
from keras_genmod.networks.masked_dense import MaskedDenseNetwork
from keras_genmod.networks.ordered import check_ordering

__all__ = ["FVSBN"]


@register
class FVSBN(AutoregressiveModel):
    """A logistic regression for each binary variable on the variables before it.

    Args:
        event_shape: Shape of one example, of any rank.
        ordering: "natural", "reverse", "random" (one order, drawn from the seed) or the indices of the
            variables in the order of drawing.
        num_classes, condition_shape, seed, name, dtype: As in `GenerativeModel`.

    Logs: as `AutoregressiveModel`.

    Cost: D^2 products per example, for densities and samples.

    Example:
        >>> import numpy as np
        >>> model = FVSBN((4,), seed=0)
        >>> model.compile()
        >>> _ = model.fit(np.eye(4, dtype="float32"), epochs=1, verbose=0)
        >>> model.log_prob(np.eye(4)).shape
        TensorShape([4])
    """

    def __init__(self, event_shape: Sequence[int], *, ordering: Any = "natural", **kwargs: Any) -> None:
        super().__init__(event_shape, **kwargs)
        self.ordering = check_ordering(ordering, self.event_shape)
        network = MaskedDenseNetwork(
            self.event_shape,
            hidden_dims=(),
            direct_connections=True,
            ordering=self.ordering,
            condition=self._condition_spec,
            seed=self.seed,
            dtype=self.dtype_policy,
            name="network",
        )
        self._use(network, BernoulliHead(event_shape=self.event_shape))

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {**super().get_config(), "ordering": self.ordering}
