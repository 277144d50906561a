"""Inventories of other projects' documentation, as far as they can be reached."""

import threading
import time
import urllib.request
from pathlib import Path

__all__ = ["reachable_inventories"]

# TensorFlow, TensorFlow Probability and Keras publish no inventory.
_PROJECTS = {
    "python": "https://docs.python.org/3",
    "numpy": "https://numpy.org/doc/stable",
    "matplotlib": "https://matplotlib.org/stable",
    "sklearn": "https://scikit-learn.org/stable",
}


def reachable_inventories(folder: Path, seconds: float = 5.0) -> dict[str, tuple[str, str]]:
    """Downloads the inventories that answer in time; without a network this gives an empty dictionary.

    Args:
        folder: Where the inventories are kept. One that is there is not downloaded again.
        seconds: Time for all inventories together.

    Returns:
        A value for Sphinx's `intersphinx_mapping`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Daemons, since a name server that does not answer holds a thread for longer than any timeout.
    threads = [
        threading.Thread(target=_download, args=(f"{url}/objects.inv", folder / f"{name}.inv"), daemon=True)
        for name, url in _PROJECTS.items()
    ]
    for thread in threads:
        thread.start()
    end = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return {
        name: (url, str(folder / f"{name}.inv"))
        for name, url in _PROJECTS.items()
        if (folder / f"{name}.inv").exists()
    }


def _download(url: str, path: Path) -> None:
    if path.exists():
        return
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "keras_genmod documentation"})
        with urllib.request.urlopen(request, timeout=4) as answer:
            content = answer.read()
    except OSError:
        return
    if content.startswith(b"# Sphinx inventory"):
        unfinished = path.with_suffix(".part")
        unfinished.write_bytes(content)
        unfinished.rename(path)
