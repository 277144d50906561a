"""The server of the page: on loopback alone, and a page that loads nothing from elsewhere."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

from keras_genmod.core.checks import describe

__all__ = ["LOOPBACK", "Server", "listening_socket"]

LOOPBACK = "127.0.0.1"

# Seconds that the server may take to answer first, and to end the requests that it is answering.
_START, _END = 60.0, 1

# The browser refuses whatever the page asks of other addresses.
_POLICY = (
    b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; base-uri 'self'; "
    b"form-action 'self'"
)


def listening_socket(port: int | None) -> socket.socket:
    """A socket that listens on loopback.

    Args:
        port: Its port; None takes a free one.

    Raises:
        ValueError: If the port is no number from 1 to 65535.
        OSError: If the port is in use, or the process may not use it.
    """
    whole = isinstance(port, int) and not isinstance(port, bool)
    if port is not None and not (whole and 1 <= port <= 65535):
        raise ValueError(
            f"`port` must be an integer from 1 to 65535; received {describe(port)}. Pass None for a free one."
        )
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # Without it a port stays taken for a minute after its page was closed.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port or 0))
        listener.listen()
    except OSError as error:
        listener.close()
        raise OSError(
            error.errno,
            f"Port {port} of {LOOPBACK} cannot be used ({error.strerror}). Close what listens there, pass "
            "another `port`, or `port=None` for a free one.",
        ) from error
    return listener


class _OwnAddressOnly:
    """Tells the browser, with each answer, that the page may load nothing from other addresses."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"content-security-policy", _POLICY)]
            await send(message)

        await self.app(scope, receive, send_with_policy)


class Server:
    """Serves gradio's page on an open socket, in a thread that ends with the process.

    Gradio's own `launch` may ask other machines for links, versions and statistics; none of it is used here.

    Args:
        page: A `gradio.Blocks`.
        listener: The socket.
        gr: The module `gradio`.
        css: Style of the page.
    """

    def __init__(self, page: Any, listener: socket.socket, gr: Any, css: str) -> None:
        import fastapi
        import uvicorn
        from starlette.middleware.trustedhost import TrustedHostMiddleware

        self.port = int(listener.getsockname()[1])
        app = fastapi.FastAPI(openapi_url=None)
        # Another site's page could reach the server under a name of its own that leads to loopback.
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=[LOOPBACK, "localhost"])
        app.add_middleware(_OwnAddressOnly)
        gr.mount_gradio_app(
            app,
            page,
            path="/",
            server_name=LOOPBACK,
            server_port=self.port,
            footer_links=[],
            run_history=False,
            ssr_mode=False,
            mcp_server=False,
            pwa=False,
            enable_monitoring=False,
            root_path="",
            css=css,
            # Fonts of the machine.
            theme=gr.themes.Default(font=("system-ui", "sans-serif"), font_mono=("monospace",)),
        )
        self._page = page
        self._server = uvicorn.Server(
            # Only what stops the server is told: pages that are open when it closes are no errors.
            uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=_END, ws="none")
        )
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name="explorer", daemon=True
        )
        self._listener = listener

    def start(self) -> None:
        """Starts answering.

        Raises:
            RuntimeError: If the server does not start.
        """
        self._thread.start()
        end = time.monotonic() + _START
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > end:
                self.close()
                raise RuntimeError(
                    f"The page's server did not start on port {self.port}. Try another `port`."
                )
            time.sleep(0.01)

    def close(self) -> None:
        """Ends the server and frees its port; a second call does nothing."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._page.close(verbose=False)
            self._thread.join()
        self._listener.close()

    def wait(self) -> None:
        """Returns when the server has ended."""
        while self._thread.is_alive():
            self._thread.join(timeout=1.0)
