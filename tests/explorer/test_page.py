"""The page and its server: what they show, what they refuse, and whom they answer."""

import ast
import http.client
import os
import socket
import sys
from pathlib import Path

import numpy as np
import pytest

import keras_genmod as kg
from keras_genmod.explorer.server import LOOPBACK, listening_socket
from tests.explorer.tiny import made, mixture, pictures, vae

FOLDER = Path(kg.explorer.__file__).parent


@pytest.fixture
def gradio():
    return pytest.importorskip("gradio", reason="gradio is not installed")


def test_optional_packages_are_not_imported_with_this_one():
    optional = {"gradio", "fastapi", "starlette", "uvicorn", "matplotlib", "PIL", "pandas"}
    for path in FOLDER.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module]
            assert not optional & {name.partition(".")[0] for name in names}, path


def test_without_gradio_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(ImportError, match=r"`explore` needs gradio: `pip install keras_genmod\[explore\]`"):
        kg.explore(made(), open_browser=False)


def test_the_server_listens_on_loopback_alone():
    with listening_socket(None) as listener:
        host, port = listener.getsockname()
        assert host == LOOPBACK == "127.0.0.1" and port > 0


def test_a_port_in_use_is_refused_with_the_way_out(gradio):
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(OSError, match=f"Port {port} .* `port=None`"):
            kg.explore(made(), port=port, open_browser=False)


@pytest.mark.parametrize("port", [0, 65536, "7860"])
def test_what_is_no_port_is_refused(port):
    with pytest.raises(ValueError, match="port"):
        listening_socket(port)


class Silent(kg.GenerativeModel):
    """A model that can only be trained."""

    def loss_terms(self, x, *, condition=None, training=False, seed=None):
        return {"size": x[:, 0]}


def test_a_model_that_can_do_nothing_is_told_what_is_missing(gradio):
    with pytest.raises(TypeError, match="Silent without any") as raised:
        kg.explore(Silent((3,), seed=0), np.zeros((2, 3)), open_browser=False)
    for word in ("`sample`", "`decode`", "`inpaint`", "`log_prob`", "`reconstruct`"):
        assert word in str(raised.value)


def test_an_error_frees_the_port(gradio):
    with listening_socket(None) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(RuntimeError, match="fit"):
        kg.explore(kg.GaussianMixture((2,), num_components=2), port=port, open_browser=False)
    listening_socket(port).close()


def answer(page, path="/", host=None, method="GET"):
    """Status, headers and body of the server's answer."""
    connection = http.client.HTTPConnection(LOOPBACK, page.port, timeout=60)
    connection.request(method, path, headers={"Host": host or f"{LOOPBACK}:{page.port}"})
    response = connection.getresponse()
    result = response.status, dict(response.getheaders()), response.read().decode()
    connection.close()
    return result


def test_an_open_page_answers_until_it_is_closed(gradio, capsys):
    model = mixture()
    with kg.explore(model, open_browser=False) as page:
        assert page.url == f"http://127.0.0.1:{page.port}"
        assert page.url in capsys.readouterr().out and page.url in page._repr_html_()
        status, headers, body = answer(page)
        assert status == 200 and "GaussianMixture explorer" in body
        # The browser loads nothing from other addresses, and other names than its own are not answered.
        assert headers["content-security-policy"].startswith("default-src 'self'")
        assert answer(page, host="example.com")[0] == 400
        # No statistics are sent, and nothing leads out of the machine.
        assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
        config = answer(page, "/config")[2]
        assert '"analytics_enabled":false' in config.replace(" ", "")
        # What is not shown is named with what it needs.
        for text in (
            "Not shown for this GaussianMixture",
            "Completion (needs `inpaint`)",
            "# GaussianMixture",
        ):
            assert text in config
    page.close()  # A second call does nothing.
    with pytest.raises(ConnectionRefusedError):
        answer(page)
    listening_socket(page.port).close()


@pytest.mark.parametrize(
    ("build", "data"),
    [
        (lambda: vae(condition_shape=(2,)), lambda: (pictures(4), np.ones((4, 2)))),
        (lambda: vae(condition_shape=(17,)), lambda: (pictures(4), np.ones((4, 17)))),
        (lambda: made(num_classes=3), lambda: None),
        (lambda: kg.MADE((3,), likelihood="gaussian", seed=0), lambda: np.eye(3)),
        (lambda: kg.Autoencoder((16,), latent_dim=2, seed=0), lambda: None),
    ],
    ids=["numbers as condition", "examples' conditions", "classes", "vectors", "no examples at all"],
)
def test_a_page_can_be_built_for_each_kind_of_model(gradio, build, data):
    from keras_genmod.explorer.explored import Explored
    from keras_genmod.explorer.explorer import build_page

    explored = Explored(build(), data())
    config = build_page(gradio, explored).get_config_file()
    names = [part["props"].get("elem_id") for part in config["components"]]
    assert ("condition" in names) == explored.is_conditional
    assert "figures" in names
    # No answer can be asked for from outside the page.
    assert all(one["api_visibility"] == "private" for one in config["dependencies"])
