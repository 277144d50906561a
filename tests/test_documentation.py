"""The scripts that build the documentation and run its code notice what is wrong."""

import contextlib
import http.server
import importlib.util
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


def script(path):
    """A module of the documentation's folder, which is no package."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, DOCS / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_page(page):
    code = "import sys, pathlib, run_blocks; print(run_blocks.run_page(pathlib.Path(sys.argv[1])))"
    command = [sys.executable, "-c", code, str(page)]
    return subprocess.run(command, cwd=DOCS, capture_output=True, text=True)


GOOD = """
<!-- run
hidden = 3
-->

- An item:

  ```python
  def double():
      return 2 * hidden
  ```

```pycon
>>> double()
6
>>> result = double() + 1
```

```sh
exit 1
```

```python
assert result == 7
```
"""


def test_the_blocks_of_a_page_share_one_namespace(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(GOOD)
    done = run_page(page)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "4"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("result == 7", "result == 8", "page.md:24: AssertionError"),
        ("    return 2", "    return 2 *", "page.md:10: SyntaxError"),
        ("\n6\n", "\n7\n", "line 14, in page.md"),
        ("hidden = 3", "hidden = missing", "page.md:3: NameError"),
        ("result == 7\n```", "result == 7", "line 23: this block has no end"),
    ],
)
def test_the_line_of_a_fault_is_named(old, new, message, tmp_path):
    page = tmp_path / "page.md"
    assert old in GOOD
    page.write_text(GOOD.replace(old, new))
    done = run_page(page)
    assert done.returncode != 0
    assert message in done.stderr


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("Is `x` of `VAE`, not $x_1$s.", "Is ``x`` of :py:obj:`VAE <a.VAE>`, not :math:`x_1`\\ s."),
        ("$$ a = b $$", ".. math::\n\n    a = b"),
        ("Both val_ and `val_`", r"Both val\_ and ``val_``"),
        ("Cost: one pass.", "**Cost:** one pass."),
        (">>> `x` $y$", ">>> `x` $y$"),
        ("```python\nf(`x`)\n\ng()\n```", ".. code-block:: python\n\n    f(`x`)\n\n    g()"),
        (
            "| a | b |\n|---|---|\n| `x` | y |",
            ".. list-table::\n   :header-rows: 1\n\n   * - a\n     - b\n   * - ``x``\n     - y",
        ),
    ],
)
def test_docstrings_become_what_sphinx_reads(docstring, expected):
    to_rst = script("extensions/docstrings.py").to_rst
    converted = to_rst(docstring, {"VAE": "a.VAE"}.get)
    assert [line.rstrip() for line in converted.strip("\n").split("\n")] == expected.split("\n")


@contextlib.contextmanager
def server(content, delay):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            time.sleep(delay)
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(content)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_only_inventories_that_answer_in_time_are_used(tmp_path, monkeypatch):
    inventories = script("extensions/inventories.py")
    inventory = b"# Sphinx inventory version 2\n"
    with server(inventory, 0) as quick, server(inventory, 20) as slow, server(b"<html>", 0) as portal:
        urls = {"quick": quick, "slow": slow, "portal": portal, "closed": "http://127.0.0.1:9"}
        monkeypatch.setattr(inventories, "_PROJECTS", urls)
        begin = time.monotonic()
        found = inventories.reachable_inventories(tmp_path, seconds=2)
        assert time.monotonic() - begin < 10
        assert found == {"quick": (quick, str(tmp_path / "quick.inv"))}
        assert (tmp_path / "quick.inv").read_bytes() == inventory
