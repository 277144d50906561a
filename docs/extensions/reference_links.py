"""Links to what is documented under another path than the one that is written."""

from docutils import nodes
from public_names import PACKAGE, documented_path
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

__all__ = ["resolve"]


def resolve(
    app: Sphinx, env: BuildEnvironment, node: nodes.Element, text: nodes.TextElement
) -> nodes.Node | None:
    """Finds `keras_genmod.VAE.fit` with the base class; what has no entry, like Keras' methods, stays text.

    A reference to something that does not exist is left to Sphinx, which complains.
    """
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py" or ("." in target and target.partition(".")[0] != PACKAGE):
        return None
    path = documented_path(target)
    if path is None or path == target:
        return None
    if not path:
        return text
    return env.domains.python_domain.resolve_xref(env, node["refdoc"], app.builder, "obj", path, node, text)
