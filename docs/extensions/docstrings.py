"""Turns the docstrings, Google style with Markdown inside a paragraph, into what Sphinx reads.

`code` and $formula$ become literals and mathematics, `$$` blocks displayed formulas, fenced blocks code,
tables tables, and a name of the public reference becomes a link to it.
"""

import re
import textwrap
from collections.abc import Callable

__all__ = ["to_rst"]

# Paragraphs that open with a word which the house style sets off: "Cost: one pass per example."
_LABELS = re.compile(r"^(Cost|References?|Logs|Source): *", re.MULTILINE)
_DOCTEST = re.compile(r"^[ ]*>>> ")
_INLINE = re.compile(
    r"(?P<before>\w)?(?:(?P<code>(?<!`)`(?!`)[^`]+`(?!`))|(?P<math>\$[^$]+\$))(?P<after>\w)?"
)
_TABLE = re.compile(r"^[ ]*\|.*\|$")
# Arguments that are described together, of which Napoleon escapes the first one's stars only.
_STARS = re.compile(r"(?<=, )(\*{1,2})(?=\w+[,:])")
# A word with an underscore at its end, which would be a link.
_LINK_LIKE = re.compile(r"(?<=\w)_(?!\w)")
# Sections whose first line Napoleon would split at a colon, to take its beginning for a type.
_RESULT = re.compile(r"^(?P<head>[ ]*(?:Returns|Yields):\n)(?P<indent>[ ]+)", re.MULTILINE)


def to_rst(text: str, link: Callable[[str], str | None]) -> str:
    """Converts a docstring.

    Args:
        text: The docstring, without common indentation.
        link: Gives the full public name of what a piece of code names, or None.
    """
    blocks = re.split(r"\n[ ]*\n", text)
    return "\n\n".join(_join_fences(blocks, link))


def _join_fences(blocks: list[str], link: Callable[[str], str | None]) -> list[str]:
    converted, fenced = [], []
    for block in blocks:
        fenced.append(block)
        if sum(piece.count("```") for piece in fenced) % 2:
            continue
        whole = "\n\n".join(fenced)
        fenced = []
        converted.append(_convert(whole, link))
    return converted + fenced


def _convert(block: str, link: Callable[[str], str | None]) -> str:
    if _DOCTEST.match(block.lstrip("\n")):
        return block
    if "```" in block:
        before, _, rest = block.partition("```")
        code, _, after = rest.partition("```")
        head, tail = before.rpartition("\n")[::2]
        return "\n\n".join(
            piece
            for piece in (_convert(head, link) if head.strip() else "", _fence(code, tail), after.strip("\n"))
            if piece
        )
    if all(_TABLE.match(line) for line in block.strip("\n").split("\n")):
        return _table(block.strip("\n").split("\n"), link)
    if "$$" in block:
        pieces = re.split(r"[ ]*\$\$", block)
        indent = re.match(r"\s*", block.lstrip("\n"))[0]
        return "\n\n".join(
            _display(piece, indent) if number % 2 else _convert(piece.strip("\n"), link)
            for number, piece in enumerate(pieces)
            if piece.strip()
        )
    # The example may stand under its heading without an empty line.
    heading, example, rest = _at_doctest(block)
    if example:
        return f"{_convert(heading, link)}\n{rest}" if heading.strip() else rest
    text = _LABELS.sub(r"**\1:** ", _inlines(block, link))
    text = _STARS.sub(lambda found: r"\*" * len(found[1]), text)
    return _RESULT.sub(r"\g<head>\g<indent>\\\n\g<indent>", text)


def _at_doctest(block: str) -> tuple[str, bool, str]:
    lines = block.split("\n")
    for number, line in enumerate(lines):
        if _DOCTEST.match(line):
            return "\n".join(lines[:number]), True, "\n".join(lines[number:])
    return block, False, ""


def _fence(code: str, indent: str) -> str:
    language, _, body = code.partition("\n")
    lines = textwrap.indent(textwrap.dedent(body.rstrip()), indent + "    ")
    return f"{indent}.. code-block:: {language.strip() or 'text'}\n\n{lines}"


def _table(lines: list[str], link: Callable[[str], str | None]) -> str:
    indent = lines[0][: len(lines[0]) - len(lines[0].lstrip())]
    rows = [[cell.strip() for cell in line.strip()[1:-1].split("|")] for line in lines]
    written = [f"{indent}.. list-table::", f"{indent}   :header-rows: 1", ""]
    for first, *rest in [rows[0], *rows[2:]]:
        written.append(f"{indent}   * - {_convert(first, link)}")
        written += [f"{indent}     - {_convert(cell, link)}" for cell in rest]
    return "\n".join(written)


def _display(formula: str, indent: str) -> str:
    return f"{indent}.. math::\n\n" + textwrap.indent(textwrap.dedent(formula).strip("\n"), indent + "    ")


def _inlines(text: str, link: Callable[[str], str | None]) -> str:
    """Converts code and formulas, and escapes what stands between them."""
    written, end = "", 0
    for found in _INLINE.finditer(text):
        written += _LINK_LIKE.sub(r"\\_", text[end : found.start()]) + _inline(found, link)
        end = found.end()
    return written + _LINK_LIKE.sub(r"\\_", text[end:])


def _inline(found: re.Match, link: Callable[[str], str | None]) -> str:
    # A role must stand apart from the letters around it; the escaped space is not shown.
    before = f"{found['before']}\\ " if found["before"] else ""
    after = f"\\ {found['after']}" if found["after"] else ""
    if found["math"]:
        return f"{before}:math:`{found['math'][1:-1].strip()}`{after}"
    code = " ".join(found["code"][1:-1].split())
    target = link(code)
    role = f":py:obj:`{code} <{target}>`" if target else f"``{code}``"
    return f"{before}{role}{after}"
