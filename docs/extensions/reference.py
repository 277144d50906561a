"""The reference of all public names: its pages, what they show, and a check that nothing is missing.

Pages are written from the package's lists of names, `__all__`, so that a new name is in the reference.
"""

import types
from collections.abc import Iterator
from pathlib import Path

import reference_links
import reference_text
from public_names import PACKAGE, PUBLIC, canonical, families, members, subpackages
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError

import keras_genmod

__all__ = ["setup"]


def write_pages(app: Sphinx, *_: object) -> None:
    """Writes `api/*.md`; a page that would not change is left alone: Sphinx need not read it again."""
    folder = Path(app.srcdir) / "api"
    folder.mkdir(exist_ok=True)
    pages = dict(_pages())
    for old in folder.glob("*.md"):
        if old.stem not in pages:
            old.unlink()
    for name, text in pages.items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def _pages() -> Iterator[tuple[str, str]]:
    models = {f"models_{name}": module for name, module in families().items()}
    others = {name: module for name, module in subpackages().items() if name != "models"}
    yield "index", _index(models, others)
    yield "root", _root_page()
    for name, module in models.items():
        yield name, _page(_title(module), [], module, [f"{PACKAGE}.{each}" for each in module.__all__])
    for name, module in others.items():
        path = f"{PACKAGE}.{name}"
        yield name, _page(f"`{name}`", [path], module, [f"{path}.{each}" for each in module.__all__])


def _index(models: dict[str, types.ModuleType], others: dict[str, types.ModuleType]) -> str:
    root = {"root": "The base classes, and what else stands beside the models at the root."}
    return "\n".join(
        [
            "# API reference",
            "",
            "Every public name, under the path that you import: after `import keras_genmod as kg` it is",
            "`kg.VAE` or `kg.bijectors.Coupling`. Models and their base classes stand at the root.",
            "",
            *_contents("Models", {name: reference_text.summary(module) for name, module in models.items()}),
            *_contents(
                "All else",
                root | {name: reference_text.summary(module) for name, module in others.items()},
            ),
        ]
    )


def _contents(heading: str, pages: dict[str, str]) -> list[str]:
    return [
        f"## {heading}",
        "",
        "| page | what it holds |",
        "|---|---|",
        *(f"| [](./{name}.md) | {summary} |" for name, summary in pages.items()),
        "",
        *_fenced("{toctree}", ":hidden:", "", *pages),
    ]


def _title(family: types.ModuleType) -> str:
    """The first sentence of a family's docstring, up to its colon: "Normalizing flows"."""
    return reference_text.summary(family).rstrip(".").partition(":")[0].partition(",")[0]


def _root_page() -> str:
    skipped = {*keras_genmod.models.__all__, *subpackages()}
    names = [f"{PACKAGE}.{name}" for name in keras_genmod.__all__ if name not in skipped]
    return _page("The root", [PACKAGE, f"{PACKAGE}.models"], keras_genmod, names)


def _page(title: str, modules: list[str], documented: types.ModuleType, names: list[str]) -> str:
    """A table of the names, then each name in full; what is documented at the root is only linked."""
    return "\n".join(
        [
            f"# {title}",
            "",
            *_fenced("{eval-rst}", *(f".. py:module:: {path}" for path in modules)),
            reference_text.paragraphs(documented).removeprefix(f"{title}."),
            "",
            "| name | what it is |",
            "|---|---|",
            *(
                f"| {{py:obj}}`{path.rpartition('.')[2]} <{canonical(path)}>` "
                f"| {reference_text.summary(PUBLIC[path])} |"
                for path in names
            ),
            "",
            *(line for path in names if canonical(path) == path for line in _entry(path)),
        ]
    )


def _entry(path: str) -> list[str]:
    value = PUBLIC[path]
    if isinstance(value, type):
        shown = ", ".join(members(value))
        options = [f"   :members: {shown}"] if shown else []
        if reference_text.bases_above(value):
            options.append("   :show-inheritance:")
        return _fenced("{eval-rst}", f".. autoclass:: {path}", *options)
    kind = "autofunction" if isinstance(value, types.FunctionType) else "autodata"
    return _fenced("{eval-rst}", f".. {kind}:: {path}")


def _fenced(directive: str, *lines: str) -> list[str]:
    return [f"```{directive}", *lines, "```", ""] if lines else []


def check_complete(_: Sphinx, env: BuildEnvironment) -> None:
    """Stops the build if a public name has no entry."""
    documented = env.domains.python_domain.objects
    missing = [path for path in PUBLIC if canonical(path) not in documented]
    if missing:
        raise ExtensionError(f"Public names that are not in the reference: {', '.join(missing)}.")


def setup(app: Sphinx) -> dict:
    """Connects the parts."""
    app.connect("config-inited", write_pages)
    # Before napoleon, which reads the sections that remain.
    app.connect("autodoc-process-docstring", reference_text.convert, priority=100)
    app.connect("autodoc-process-signature", reference_text.full_signature)
    app.connect("autodoc-process-bases", reference_text.public_bases)
    app.connect("missing-reference", reference_links.resolve)
    app.connect("env-check-consistency", check_complete)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
