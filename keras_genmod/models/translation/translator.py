"""What models between two domains of pictures share: networks, measures, and averaged generators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.bases.adversarial_model import AdversarialModel
from keras_genmod.bases.two_player_objective import TwoPlayerObjective
from keras_genmod.core.batches import Batch
from keras_genmod.core.checks import ValueRange, check_number, describe
from keras_genmod.core.spaces import Space
from keras_genmod.metrics.image_quality import psnr, ssim
from keras_genmod.networks.activations import check_reach
from keras_genmod.networks.defaults import check_network
from keras_genmod.training.averaging import AveragedNetwork
from keras_genmod.training.objective import MEASURE

__all__ = ["Translator", "checked_range", "default_field"]

# Receptive fields of default discriminators.
_FIELDS = (16, 34, 70)


class Translator(AdversarialModel):
    """Base of models that turn pictures of one domain into pictures of another.

    A family sets `_objective`, what its discriminators and generators minimise.

    Args:
        event_shape: Shape of one picture of the domain that `call` takes.
        ema_decay: Decay per step of the moving averages of the generators' weights; None keeps no averages.
        seed, name, dtype, trainable: As in `GenerativeModel`.
    """

    _objective: TwoPlayerObjective
    # Names of the directions of a model that translates both ways.
    directions: tuple[str, ...] = ()

    def __init__(self, event_shape: Sequence[int], *, ema_decay: float | None = None, **kwargs: Any) -> None:
        super().__init__(event_shape, **kwargs)
        self.ema_decay = ema_decay
        self._averages: dict[str, AveragedNetwork] = {}

    def _player_options(self, number: int) -> dict[str, Any]:
        """The options of default network number `number`, which takes no condition."""
        options = self._network_options(number)
        return {"dtype": options["dtype"], "seed": options["seed"]}

    def _check_discriminator(self, name: str, discriminator: keras.Model, *spaces: Space) -> None:
        """Refuses a discriminator that does not give a map of logits of the spaces' tensors."""
        shape = getattr(discriminator, "output_shape", None)
        patches = (None, None, 1) if shape is None or len(shape) != 4 else (*shape[1:3], 1)
        check_network(
            name,
            discriminator,
            [space.keras_input() for space in spaces],
            patches,
            "a map of logits, one for each patch",
            dtype=self.real_dtype,
        )
        check_reach(name, discriminator, self._objective.loss.bounds_problem)
        self._objective.check_discriminator(discriminator)

    def _judge(self, discriminator: keras.Model, training: bool) -> Callable[[tf.Tensor], tf.Tensor]:
        """The function from pictures to a discriminator's logits `[B, height, width]`."""

        def judge(x: tf.Tensor) -> tf.Tensor:
            return tf.cast(discriminator(x, training=training), self.real_dtype)[..., 0]

        return judge

    def translation_spaces(self, direction: str | None = None) -> tuple[Space, Space]:
        """The spaces of a source and of its translation.

        Args:
            direction: One of `directions`, for a model that has several.
        """
        raise TypeError(f"{type(self).__name__} must define `translation_spaces`.")

    # ---- averaged generators --------------------------------------------------------------------

    def _keep_averages(self, **networks: keras.Model) -> None:
        """Keeps the averages of generators, each under `averaged_<name>`; does nothing without a decay."""
        if self.ema_decay is None:
            return
        averages = {
            name: AveragedNetwork(network, self.ema_decay, name="ema_decay")
            for name, network in networks.items()
        }
        for name, average in averages.items():
            setattr(self, f"averaged_{name}", average.network)
        self._averages = averages

    def _network(self, name: str, use_ema: bool = True) -> keras.Model:
        """A generator by its attribute's name: the averaged one where it exists and is asked for."""
        averaged = self._averages.get(name) if use_ema else None
        return getattr(self, name) if averaged is None else averaged.network

    def advance_state(self, batch: Batch, *, seed: tf.Tensor, shared: Any) -> None:
        """Moves the averaged generators, if there are any."""
        for average in self._averages.values():
            average.update(self.training_steps)

    # ---- measures, configuration ----------------------------------------------------------------

    def _sharpness_terms(
        self, target: tf.Tensor, output: tf.Tensor, value_range: ValueRange
    ) -> dict[str, tf.Tensor]:
        """The measures `psnr` and `ssim` of an output, `[B]`; none for values without two bounds."""
        bounds = (value_range.low, value_range.high)
        if not np.all(np.isfinite(bounds)):
            return {}
        output = tf.stop_gradient(output)
        return {"psnr": psnr(target, output, bounds), "ssim": ssim(target, output, bounds)}

    def _sharpness_weights(self, value_range: ValueRange) -> dict[str, str]:
        """The marks of the measures that `_sharpness_terms` gives."""
        bounded = np.all(np.isfinite((value_range.low, value_range.high)))
        return dict.fromkeys(("psnr", "ssim"), MEASURE) if bounded else {}

    def _base_config(self) -> dict[str, Any]:
        """The arguments that translators share; their shapes have names of their own."""
        config = super().get_config()
        for name in ("event_shape", "num_classes", "condition_shape"):
            del config[name]
        return {**config, "ema_decay": self.ema_decay}


def default_field(receptive_field: int | None, picture_shape: Sequence[int]) -> int:
    """The side of the patches that a default discriminator judges: the one asked for, or one that fits."""
    if receptive_field is not None:
        return receptive_field
    fitting = [field for field in _FIELDS if field <= 0.625 * min(picture_shape[:2])]
    return max(fitting, default=_FIELDS[0])


def checked_range(name: str, bounds: Any) -> tuple[float, float]:
    """The lowest and the highest value of a pair."""
    try:
        low, high = bounds
    except (TypeError, ValueError):
        low = high = 0.0
    if not low < high:
        raise ValueError(
            f"`{name}` must be the lowest and the highest value of a pixel, such as (-1, 1); received "
            f"{describe(bounds)}."
        )
    return check_number(name, low), check_number(name, high)
