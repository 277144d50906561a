"""`explore`: a page in the browser over what a model can do."""

from __future__ import annotations

import os
import webbrowser
from typing import Any

from keras_genmod.core.optional import optional_module
from keras_genmod.explorer import tabs
from keras_genmod.explorer.explored import Explored
from keras_genmod.explorer.page import Page
from keras_genmod.explorer.server import LOOPBACK, Server, listening_socket
from keras_genmod.explorer.tab import Tab

__all__ = ["Explorer", "explore"]

# Enlarged pixels stay squares where the browser scales them once more; few examples take little space.
_CSS = """
img { image-rendering: pixelated; }
footer { display: none !important; }
.grid-wrap { min-height: 0 !important; }
"""


def explore(
    model: Any,
    data: Any = None,
    *,
    image_shape: Any = "auto",
    port: int | None = None,
    open_browser: bool = True,
    block: bool = False,
) -> Explorer:
    """Opens a page in the browser on which one tries what a model can do.

    The page has a tab for each thing that the model can do: samples, sliders over the latent dimensions,
    paths between two examples, translation, reconstruction and score of an example, completion under a mask,
    samples of each class, the density of points in the plane. It names what is left out and why. Pictures are
    shown enlarged, examples of two numbers as points, other vectors as lines.

    The server listens on the loopback address 127.0.0.1 alone, and the page loads nothing from other
    addresses. Requests of the page are answered one at a time, with the model's current weights.

    Args:
        model: Any model of this package, or a subclass of `GenerativeModel`. A model under a strategy of
            several replicas answers by its first replica.
        data: Examples to choose from and to compare with, `[N, *event_shape]`, or `(examples, conditions)`,
            or `{"a": ..., "b": ...}` of a model between two domains; the first 256 are used. None draws 16
            samples in their place, if the model can.
        image_shape: Shape in which an example is shown as a picture, `(height, width)` or
            `(height, width, 1 or 3)`. "auto": images as they are, and vectors of a square number of at least
            16 values as squares. None shows vectors as numbers.
        port: Port of the server; None takes a free one.
        open_browser: Whether to open the page in the default browser.
        block: Whether to return only when the page is closed, by Ctrl-C. The page ends with the process, so
            a script's last line is `explore(model, block=True)`, or `page.wait()`. In a notebook leave it
            False; the returned object shows the page below the cell.

    Returns:
        A handle with `url`, `wait()` and `close()`, which is also a context manager.

    Raises:
        ImportError: If gradio is not installed (`pip install keras_genmod[explore]`).
        TypeError: If `model` is no `GenerativeModel`, or can do nothing that the page shows.
        ValueError: If the data do not fit, the examples can be shown in no way, or several processes train
            the model.
        OSError: If the port is in use.
        RuntimeError: If the model cannot answer, such as a mixture before `fit`.

    Cost: 16 samples and one answer of each quick tab before the page opens; then what each click asks for.

    Example:
        >>> import keras_genmod as kg
        >>> model = kg.VAE((4,), latent_dim=2, seed=0)
        >>> with explore(model, open_browser=False) as page:  # doctest: +SKIP
        ...     print(page.url)
        http://127.0.0.1:40123
    """
    # Gradio reads it when it is imported.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    gr = optional_module("gradio", what="`explore`", extra="explore")
    listener = listening_socket(port)
    try:
        explored = Explored(model, data, image_shape)
        page = build_page(gr, explored)
        server = Server(page, listener, gr, _CSS)
        server.start()
    except BaseException:
        listener.close()
        raise
    explorer = Explorer(server)
    print(f"{explorer!r}")
    if open_browser:
        webbrowser.open(explorer.url)
    if block:
        explorer.wait()
    return explorer


def build_page(gr: Any, explored: Explored) -> Any:
    """The page as a `gradio.Blocks`.

    Args:
        gr: The module `gradio`.
        explored: The model with its examples.

    Raises:
        TypeError: If the model can fill no tab.
    """
    model = explored.model
    known: list[type[Tab]] = [getattr(tabs, name) for name in tabs.__all__]
    shown = [tab for tab in known if tab.when(explored)]
    missing = "; ".join(f"{tab.title} (needs {tab.needs})" for tab in known if tab not in shown)
    if not shown:
        raise TypeError(
            f"`explore` needs a model that can do something to look at; received a {type(model).__name__} "
            f"without any. Add one of these: {missing}."
        )
    with gr.Blocks(title=f"{type(model).__name__} explorer", analytics_enabled=False) as blocks:
        page = Page(gr, explored)
        gr.Markdown(f"# {type(model).__name__}\n{_about(explored)}")
        page.add_condition()
        for tab in shown:
            with gr.Tab(tab.title, render_children=True):
                tab.build(page)
        if missing:
            gr.Markdown(f"Not shown for this {type(model).__name__}: {missing}.")
    return blocks


def _about(explored: Explored) -> str:
    """What the page is about, in one line."""
    model = explored.model
    parts = [f"Examples of shape {model.event_shape}", f"{int(model.training_steps)} training steps"]
    if model.num_classes is not None:
        parts.append(f"conditioned on {model.num_classes} classes")
    elif model.condition_shape is not None:
        parts.append(f"conditioned on arrays of shape {model.condition_shape}")
    replicas = model.distribute_strategy.num_replicas_in_sync
    if replicas > 1:
        parts.append(f"trained on {replicas} replicas, of which the first one answers")
    return ", ".join(parts) + f". The page listens on {LOOPBACK} alone."


class Explorer:
    """An open page: its address, and how to close it.

    It is a context manager that closes the page at its end. A notebook shows the page below the cell.

    Attributes:
        url: Address of the page, `http://127.0.0.1:<port>`.
        port: Its port.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self.port = server.port
        self.url = f"http://{LOOPBACK}:{server.port}"

    def wait(self) -> None:
        """Returns when the page is closed; Ctrl-C closes it."""
        try:
            self._server.wait()
        except KeyboardInterrupt:
            self.close()

    def close(self) -> None:
        """Closes the page and frees its port; a second call does nothing."""
        self._server.close()

    def __enter__(self) -> Explorer:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def __repr__(self) -> str:
        return (
            f"Explorer at {self.url}. It ends with this process; `wait()` keeps it open until Ctrl-C, "
            "`close()` closes it."
        )

    def _repr_html_(self) -> str:
        return (
            f'<a href="{self.url}" target="_blank">{self.url}</a>'
            f'<iframe src="{self.url}" width="100%" height="800" style="border: 0"></iframe>'
        )
