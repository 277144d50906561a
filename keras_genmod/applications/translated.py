"""Translations as pictures: sources, what becomes of them, and what they are compared with."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from keras_genmod.core.checks import as_array, check_choice, describe
from keras_genmod.core.images import as_images
from keras_genmod.core.spaces import Space

__all__ = ["check_translator", "chosen_direction", "rgb_pictures", "translate", "translation_rows"]

# Colours of the classes of label maps, in turn: dark to light, neighbours well apart.
_COLOURS = np.divide(
    [
        *((20, 24, 60), (66, 106, 200), (120, 200, 230), (200, 70, 60), (240, 160, 60), (250, 230, 120)),
        *((70, 140, 70), (160, 210, 130), (120, 70, 150), (220, 140, 200), (130, 90, 60), (215, 215, 215)),
    ],
    255.0,
)


def check_translator(model: Any, what: str) -> None:
    """Refuses a model that does not translate pictures.

    Args:
        model: The model.
        what: What needs it, for the error.
    """
    if not hasattr(model, "translation_spaces"):
        raise TypeError(
            f"{what} needs a model that translates pictures, such as `Pix2Pix`, `CycleGAN` or "
            f"`SuperResolution`; received {describe(model)}."
        )


def chosen_direction(model: Any, direction: str | None) -> str | None:
    """The direction of a model that has several, the first one by default; None of one that has one.

    Raises:
        ValueError: For a direction that the model does not have.
    """
    if not model.directions:
        if direction is not None:
            raise ValueError(
                f"A {type(model).__name__} translates in one direction; received direction={direction!r}. "
                "Leave it out."
            )
        return None
    if direction is None:
        return model.directions[0]
    return check_choice("direction", direction, model.directions)


def translate(model: Any, x: Any, direction: str | None = None, seed: Any = None) -> np.ndarray:
    """The translations of `x`, by the method that the model has for it.

    Args:
        model: A translator.
        x: Pictures of the domain that `direction` begins with.
        direction: As in `chosen_direction`.
        seed: Seeds the noise of models that have some; None translates without noise.
    """
    method = getattr(model, "translate", None) or model.upscale
    options = {"direction": direction, "seed": seed}
    given = {name: value for name, value in options.items() if value is not None}
    known = inspect.signature(method).parameters
    return np.asarray(method(x, **{name: value for name, value in given.items() if name in known}))


def translation_rows(
    model: Any, x: Any, *, targets: Any = None, direction: str | None = None, seed: Any = None
) -> dict[str, np.ndarray]:
    """What to show of translations, each as pictures in [0, 1] of one size with three channels.

    Args:
        model: A translator.
        x: Sources `[N, ...]`; of a `SuperResolution` small pictures.
        targets: What the sources should become, where it is known.
        direction: Of a model that has several: where `x` comes from and leads to.
        seed: Seeds the noise of models that have some.

    Returns:
        "source", "translation", and "target" where targets are given, or else "back", the translation
        translated back, of a model that can.
    """
    direction = chosen_direction(model, direction)
    source, target = model.translation_spaces(direction)
    x = as_array("x", x)
    translated = translate(model, x, direction, seed)
    rows = {"source": rgb_pictures(x, source), "translation": rgb_pictures(translated, target)}
    if targets is not None:
        targets = as_array("targets", targets)
        if len(targets) != len(x):
            raise ValueError(
                f"`targets` must have one picture for each of `x`, {len(x)}; received {len(targets)}."
            )
        rows["target"] = rgb_pictures(targets, target)
    elif direction is not None:
        rows["back"] = rgb_pictures(translate(model, translated, direction[::-1]), source)
    side = max(max(pictures.shape[1:3]) for pictures in rows.values())
    return {name: _enlarged(pictures, side) for name, pictures in rows.items()}


def rgb_pictures(x: np.ndarray, space: Space) -> np.ndarray:
    """Pictures of a space in [0, 1], `[N, height, width, 3]`; class indices get a colour each."""
    if x.ndim == 3 and space.accepted.integer:
        return _COLOURS[x.astype("int64") % len(_COLOURS)].astype("float32")
    images = as_images(x).astype("float32")
    low, high = space.accepted.low, space.accepted.high
    if not (np.isfinite(low) and np.isfinite(high)):
        low, high = float(images.min()), max(float(images.max()), float(images.min()) + 1e-6)
    return np.repeat(np.clip((images - low) / (high - low), 0.0, 1.0), 3 // images.shape[-1], axis=-1)


def _enlarged(pictures: np.ndarray, side: int) -> np.ndarray:
    """Pictures whose longer side is repeated up to `side` pixels, as far as whole factors reach."""
    factor = max(1, side // max(pictures.shape[1:3]))
    return pictures.repeat(factor, axis=1).repeat(factor, axis=2)
