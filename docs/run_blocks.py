"""Runs the code of the documentation's pages: `python docs/run_blocks.py [page ...]`, by default all pages.

The `python` blocks of a page run from top to bottom in one namespace, in an empty temporary folder, without a
window; `pycon` blocks are doctests in the same namespace. A comment that opens with `<!-- run` holds code
that runs and is not shown. Blocks in other languages do not run. Each page has a process of its own, forked
from one that has imported the library.
"""

import argparse
import doctest
import importlib
import multiprocessing
import os
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

_FENCE = re.compile(r"(?P<indent> *)(?P<ticks>`{3,}|~{3,}) *(?P<language>.*)")
_HIDDEN = re.compile(r" *<!-- run\b(?P<rest>.*)")


class Block(NamedTuple):
    """A piece of code: its language, the line of the page before its first line, and its text."""

    language: str
    line: int
    text: str


def pages() -> list[Path]:
    """The README and all pages that are written by hand."""
    found = sorted((ROOT / "docs").rglob("*.md"))
    generated = {ROOT / "docs" / "_build", ROOT / "docs" / "api"}
    return [ROOT / "README.md", *(page for page in found if not generated & set(page.parents))]


def blocks(text: str) -> Iterator[Block]:
    """The blocks of a page that run.

    Raises:
        ValueError: If a block or a hidden comment is not closed.
    """
    lines = iter(enumerate(text.split("\n"), start=1))
    for number, line in lines:
        if found := _HIDDEN.fullmatch(line):
            language, indent, end = "python", "", "-->"
            if found["rest"].strip():
                raise ValueError(f"line {number}: code begins on the line after `<!-- run`.")
        elif found := _FENCE.fullmatch(line):
            language, indent, end = found["language"].strip(), found["indent"], found["ticks"]
        else:
            continue
        code = []
        for _, line in lines:
            if line.strip() == end:
                break
            code.append(line.removeprefix(indent))
        else:
            raise ValueError(f"line {number}: this block has no end.")
        if language in {"python", "pycon"}:
            yield Block(language, number, "\n".join(code) + "\n")


def run_page(page: Path) -> int:
    """Runs a page in this process and this folder; returns the number of blocks.

    Raises:
        SystemExit: After the error of a block, which is printed with the page and the line.
    """
    names: dict = {"__name__": "__main__"}
    count = 0
    for block in blocks(page.read_text()):
        count += 1
        # Empty lines in front make line numbers those of the page.
        source = "\n" * block.line + block.text
        try:
            if block.language == "python":
                exec(compile(source, str(page), "exec"), names)
            else:
                _run_doctest(page, source, names)
        except BaseException as error:
            _explain(page, block, error)
            raise SystemExit(1) from None
    return count


def _run_doctest(page: Path, source: str, names: dict) -> None:
    test = doctest.DocTestParser().get_doctest(source, names, page.name, str(page), 0)
    runner = doctest.DocTestRunner(verbose=False, optionflags=OPTIONS)
    report: list[str] = []
    runner.run(test, out=report.append, clear_globs=False)
    names.update(test.globs)
    if runner.failures:
        raise AssertionError("\n" + "".join(report))


def _explain(page: Path, block: Block, error: BaseException) -> None:
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame.lineno for frame in frames if frame.filename == str(page)]
    line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else next(iter(inside), None)
    text = page.read_text().split("\n")
    print(f"{_relative(page)}:{line or block.line}: {type(error).__name__}: {error}", file=sys.stderr)
    if line:
        print(f"    {text[line - 1].strip()}", file=sys.stderr)
    # The frames of this file say nothing about the page.
    shown = error.__traceback__
    while shown is not None and shown.tb_frame.f_code.co_filename == __file__:
        shown = shown.tb_next
    if shown is not None:
        traceback.print_exception(type(error), error, shown, chain=False)


def _relative(page: Path) -> str:
    return str(page.relative_to(ROOT)) if page.is_relative_to(ROOT) else str(page)


def run_in_child(page: Path) -> bool:
    """Runs a page in a child process and an empty folder; prints its time, and its output if it fails."""
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as output:
        child = multiprocessing.get_context("fork").Process(target=_in_folder, args=(page, folder, output))
        child.start()
        child.join()
        output.seek(0)
        printed = output.read()
    if child.exitcode:
        print(printed)
    seconds = time.perf_counter() - begin
    print(f"{seconds:7.1f} s  {'failed' if child.exitcode else 'passed'}  {_relative(page)}", flush=True)
    return not child.exitcode


def _in_folder(page: Path, folder: str, output: IO[str]) -> None:
    os.chdir(folder)
    for stream in (1, 2):
        os.dup2(output.fileno(), stream)
    run_page(page)


def main() -> None:
    """Runs the pages that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pages", nargs="*", type=Path, help="Markdown files; all pages if none is given")
    chosen = [page.resolve() for page in parser.parse_args().pages]
    with_code = [page for page in chosen or pages() if any(blocks(page.read_text()))]
    begin = time.perf_counter()
    os.environ.update(MPLBACKEND="Agg", TF_CPP_MIN_LOG_LEVEL="3")
    sys.path.insert(0, str(ROOT))
    importlib.import_module("keras_genmod")
    passed = [run_in_child(page) for page in with_code]
    print(f"{time.perf_counter() - begin:7.1f} s  in total")
    print(f"pages: {sum(passed)} passed, {len(passed) - sum(passed)} failed")
    sys.exit(not all(passed))


if __name__ == "__main__":
    main()
