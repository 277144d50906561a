"""Restricted Boltzmann machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_genmod.bases import GenerativeModel, fold_in, row_seeds
from keras_genmod.core.checks import check_choice, check_integer, check_number
from keras_genmod.core.registration import register
from keras_genmod.models.energy.restricted_machine import RestrictedMachine
from keras_genmod.models.energy.restricted_weights import RestrictedWeights
from keras_genmod.models.energy.visible_units import visible_units
from keras_genmod.training import MEASURE

__all__ = ["RBM"]


@register
class RBM(RestrictedWeights, GenerativeModel):
    r"""A restricted Boltzmann machine: binary hidden units h with an energy over pairs (v, h).

    $$ E(v, h) = -\log w(v) - c \cdot h - v^T W h, \qquad p(v) = \frac{e^{-F(v)}}{Z}, \qquad
       F(v) = -\log w(v) - \sum_j \log(1 + e^{c_j + (v^T W)_j}) $$

    with $\log w(v) = b \cdot v$ for binary units, $\eta \cdot v - \tau \cdot v^2 / 2$ for real ones, and
    $\sum_d b_{d, v_d}$ for integers. Training follows the gradient of the log-likelihood,

    $$ \nabla \log p(x) = -\nabla F(x) + E_{v \sim p}[\nabla F(v)] $$

    whose second part is taken over Markov chains: those that go on from step to step (persistent contrastive
    divergence, "pcd"), short ones from the data ("cd"), or persistent ones at several temperatures that
    exchange their states ("tempering"). Both parts use the expectation over hidden units.

    With classes the machine has one more unit y, and $p(v, y)$ is trained. `log_prob(x, y)` is
    $\log p(x \mid y)$, and `class_probs` the exact $p(y \mid x)$.

    Args:
        event_shape: Shape of one example, of any rank; D is its number of values.
        hidden_dim: Number H of hidden units.
        visible: "bernoulli" for values 0 and 1, "gaussian" for standardised real values, "categorical" for
            integers from 0 to `num_values` - 1.
        method: "pcd", "cd" or "tempering".
        num_gibbs_steps: Number of steps of the chains in a training step.
        num_chains: Number of persistent chains (at each temperature).
        num_temperatures: Number of temperatures of "tempering", from independent units to the machine.
        num_values: Number of values of categorical units.
        centering: Whether the parameters belong to centred units, $v - \bar v$ and $h - 1/2$. The set of
            densities is the same, and gradients are better conditioned.
        sparsity_target: Desired mean activity of each hidden unit; None leaves it free.
        sparsity_weight: Strength of the pull towards that activity.
        weight_decay: Weight $\lambda$ of the penalty $\lambda \lVert W \rVert^2 / 2$.
        proxies: Whether to log `reconstruction_proxy` and `pseudo_nll_proxy`, which cost a fifth of a step.
        sampling_steps: Number of steps of `sample` and `inpaint`, also in an export.
        **kwargs: `num_classes`, `seed`, `name`, `dtype`, as in `GenerativeModel`.

    Raises:
        ValueError: If an argument is invalid.

    Logs: `loss`, the mean free energy of the data, `free_energy`, less that of the chains, `-chains`. Its
    gradient trains the model; its value is no measure of success. The gap `val_free_energy - free_energy`
    grows with overfitting. Two proxies need no partition function and are no likelihood:
    `reconstruction_proxy`, the squared error of a reconstruction, and `pseudo_nll_proxy`, an estimate of
    $-\sum_d \log p(x_d \mid x_{-d})$ from one random d of each example (for binary values alone).

    Cost: 2 products with W for the data, and 2 and 2 `num_gibbs_steps` for the chains.

    Reference: Training Restricted Boltzmann Machines using Approximations to the Likelihood Gradient,
    Tieleman, 2008. Training Products of Experts by Minimizing Contrastive Divergence, Hinton, 2002.
    Centering: Deep Boltzmann Machines and the Centering Trick, Montavon and Müller, 2012. Classes:
    Classification using Discriminative Restricted Boltzmann Machines, Larochelle and Bengio, 2008. Tempering:
    Tempered Markov Chain Monte Carlo for Training of Restricted Boltzmann Machines, Desjardins et al., 2010.

    Example:
        >>> import numpy as np
        >>> x = np.repeat(np.eye(3, dtype="float32"), 4, axis=0)
        >>> model = RBM((3,), hidden_dim=2, num_chains=4, seed=0)
        >>> model.compile()
        >>> _ = model.fit(x, epochs=2, verbose=0)
        >>> states = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
        >>> round(float(np.exp(model.log_prob(states)).sum()), 5)
        1.0
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        *,
        hidden_dim: int = 500,
        visible: str = "bernoulli",
        method: str = "pcd",
        num_gibbs_steps: int = 1,
        num_chains: int = 100,
        num_temperatures: int = 10,
        num_values: int | None = None,
        centering: bool = True,
        sparsity_target: float | None = None,
        sparsity_weight: float = 0.1,
        weight_decay: float = 0.0,
        proxies: bool = True,
        sampling_steps: int = 1000,
        **kwargs: Any,
    ) -> None:
        if kwargs.get("condition_shape") is not None:
            raise ValueError(
                f"{type(self).__name__} is conditioned on classes alone; received condition_shape="
                f"{kwargs['condition_shape']}. Use num_classes=, or a conditional MADE or flow."
            )
        self.hidden_dim = check_integer("hidden_dim", hidden_dim)
        self.visible = check_choice("visible", visible, ("bernoulli", "gaussian", "categorical"))
        self.method = check_choice("method", method, ("pcd", "cd", "tempering"))
        self.num_gibbs_steps = check_integer("num_gibbs_steps", num_gibbs_steps)
        self.num_chains = check_integer("num_chains", num_chains)
        self.num_temperatures = check_integer("num_temperatures", num_temperatures, minimum=2)
        if (num_values is None) == (visible == "categorical"):
            raise ValueError(
                "`num_values` is the number of values of visible='categorical' and of no other; received "
                f"{num_values} with visible={visible!r}. "
                f"{'Give it.' if num_values is None else 'Leave it out.'}"
            )
        self.num_values = None if num_values is None else check_integer("num_values", num_values, minimum=2)
        self.centering = bool(centering)
        self.sparsity_target = (
            None
            if sparsity_target is None
            else check_number("sparsity_target", sparsity_target, above=0.0, maximum=1.0)
        )
        self.sparsity_weight = check_number("sparsity_weight", sparsity_weight, minimum=0.0)
        self.weight_decay = check_number("weight_decay", weight_decay, minimum=0.0)
        self.proxies = bool(proxies)
        self.sampling_steps = check_integer("sampling_steps", sampling_steps)
        super().__init__(event_shape, **kwargs)
        self._units = visible_units(self.visible, self.event_shape, self.num_values)
        self._add_parameters()
        self._add_chains()
        self._add_kept_partition()

    # ---- objective --------------------------------------------------------------------------------------

    def loss_terms(
        self, x: tf.Tensor, *, condition: Any = None, training: bool = False, seed: Any = None
    ) -> dict[str, tf.Tensor]:
        """The free energies of data and chains, their penalties, and the proxies."""
        machine = self._machine(joint=True)
        v = self._units.features(x)
        rows = tf.shape(v)[0]
        if self.method == "cd":
            seeds = row_seeds(seed, 0, rows)
            state = machine.run(machine.state(v, condition), seeds, self.num_gibbs_steps)
        else:
            state = self._chain_state()
        state = tf.nest.map_structure(tf.stop_gradient, state)
        # One product for both: large ones are faster.
        both = None if condition is None else tf.concat([condition, state.classes], axis=0)
        inputs = machine.inputs(tf.concat([v, state.v], axis=0), both)
        data_inputs, chain_inputs = inputs[:rows], inputs[rows:]
        of_chains = machine.free_energy(state.v, None if condition is None else state.classes, chain_inputs)
        if self.method != "cd":
            of_chains = tf.fill([rows], tf.reduce_mean(of_chains))
        terms = {"free_energy": machine.free_energy(v, condition, data_inputs), "chains": -of_chains}
        if self.weight_decay:
            terms["weight_decay"] = tf.fill([rows], 0.5 * tf.reduce_sum(tf.square(machine.weights)))
        if self._activity is not None:
            # The slope of a cross-entropy between the mean activity and the target.
            excess = tf.convert_to_tensor(self._activity) - self.sparsity_target
            terms["sparsity"] = tf.linalg.matvec(data_inputs, excess)
        if self.proxies:
            terms.update(self._proxies(machine, v, tf.stop_gradient(data_inputs), seed))
        return terms

    def _proxies(
        self, machine: RestrictedMachine, v: tf.Tensor, inputs: tf.Tensor, seed: Any
    ) -> dict[str, tf.Tensor]:
        mean = machine.visible_mean(tf.sigmoid(inputs))
        proxies = {"reconstruction_proxy": tf.reduce_sum(tf.square(v - mean), axis=-1)}
        if self.visible == "bernoulli":
            unit = self._proxy_units(tf.shape(v)[0], seed)
            proxies["pseudo_nll_proxy"] = machine.pseudo_nll(v, inputs, unit)
        return proxies

    def _proxy_units(self, rows: Any, seed: Any) -> tf.Tensor:
        """The unit of each row whose conditional probability is taken, int32 `[rows]`."""
        return tf.random.stateless_uniform(
            [rows], fold_in(seed, 1), maxval=self._units.num_units, dtype=tf.int32
        )

    def term_weights(self) -> dict[str, Any]:
        """The weights of the penalties; proxies are measures."""
        weights: dict[str, Any] = {}
        if self.weight_decay:
            weights["weight_decay"] = self.weight_decay
        if self.sparsity_target is not None:
            weights["sparsity"] = self.sparsity_weight
        if self.proxies:
            weights["reconstruction_proxy"] = MEASURE
            if self.visible == "bernoulli":
                weights["pseudo_nll_proxy"] = MEASURE
        return weights

    def default_optimizers(self) -> dict[str, keras.optimizers.Optimizer]:
        """Plain gradient descent, as is usual for these models."""
        return {"optimizer": keras.optimizers.SGD(0.05)}

    # ---- configuration ----------------------------------------------------------------------------------

    def get_config(self) -> dict:
        """The constructor arguments."""
        own = (
            "hidden_dim",
            "visible",
            "method",
            "num_gibbs_steps",
            "num_chains",
            "num_temperatures",
            "num_values",
            "centering",
            "sparsity_target",
            "sparsity_weight",
            "weight_decay",
            "proxies",
            "sampling_steps",
        )
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}
