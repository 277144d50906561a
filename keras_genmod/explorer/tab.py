"""`Tab`: what each tab of the page is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keras_genmod.explorer.explored import Explored

if TYPE_CHECKING:
    from keras_genmod.explorer.page import Page

__all__ = ["Tab"]


class Tab:
    """A tab: whether a model can fill it, and what stands in it.

    A tab computes with plain functions of `Explored` and of values, which need no browser. `build` only joins
    them to components.
    """

    title = ""
    # What a model needs for it, for the list of tabs that are not shown.
    needs = ""

    @staticmethod
    def when(explored: Explored) -> bool:
        """Whether the model can fill the tab."""
        raise TypeError("A tab must define `when`.")

    @staticmethod
    def build(page: Page) -> Any:
        """Puts the tab's components on the page."""
        raise TypeError("A tab must define `build`.")
