"""`import keras_genmod` beside the imports of the libraries that it stands on.

    python -m tests.benchmarks.import_time [--rounds 9] [--details]

Two kinds of fresh processes take turns: one imports TensorFlow, Keras and TensorFlow Probability and then
this package, and reads the clock in between; the other imports this package alone. `CPU` is what the
process worked, which depends less on what else the machine does. Aim: at most 0.1 s more than the libraries.
"""

from __future__ import annotations

import argparse

from tests.benchmarks.common import hardware, median, print_table, run_python, run_text

_LIBRARIES = "import tensorflow, keras, tensorflow_probability"
_PACKAGE = "import keras_genmod"
_PROGRAM = """
import json, time
times = [(time.perf_counter(), time.process_time())]
{marks}
print(json.dumps([[after - before for before, after in zip(*pair)] for pair in zip(times, times[1:])]))
"""
_MARK = "{statement}\ntimes.append((time.perf_counter(), time.process_time()))"


def measure(*statements: str) -> list[list[float]]:
    """Seconds by the clock and of the processor of each statement, one after the other in a new process."""
    marks = "\n".join(_MARK.format(statement=statement) for statement in statements)
    return run_python("-c", _PROGRAM.format(marks=marks))


def compare(rounds: int) -> None:
    """Measures in turns and prints the table."""
    times = {"the libraries": [], "keras_genmod after them": [], "keras_genmod alone": []}
    # The first round fills the disk's cache, and is not counted.
    for turn in range(rounds + 1):
        measured = [*measure(_LIBRARIES, _PACKAGE), *measure(_PACKAGE)]
        if turn:
            for seconds, pair in zip(times.values(), measured, strict=True):
                seconds.append(pair)
    rows = [
        [name, *[f"{of(values):.3f}" for values in zip(*pairs, strict=True) for of in (median, min)]]
        for name, pairs in times.items()
    ]
    header = ["", "median, s", "best, s", "CPU median, s", "CPU best, s"]
    print_table(f"Import, {rounds} fresh processes each", header, rows)


def details(count: int = 20) -> None:
    """The modules that `import keras_genmod` adds to the libraries' import, the slowest first."""
    text = run_text("-X", "importtime", "-c", f"{_LIBRARIES}\n{_PACKAGE}", errors=True)
    lines = [
        line.removeprefix("import time:").split("|") for line in text.splitlines() if line.count("|") == 2
    ]
    lines = [(int(own), int(total), name.strip()) for own, total, name in lines if own.strip().isdigit()]
    first = next(i for i, line in enumerate(lines) if line[2].startswith("keras_genmod"))
    added = lines[first:]
    rows = [
        [name, f"{own / 1e3:.1f}", f"{total / 1e3:.1f}"] for own, total, name in sorted(added)[::-1][:count]
    ]
    print_table(
        f"{len(added)} modules added, {sum(line[0] for line in added) / 1e3:.1f} ms",
        ["", "own, ms", "with what it imports, ms"],
        rows,
    )


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--details", action="store_true", help="list what the package adds")
    options = parser.parse_args()
    print(hardware("tensorflow", "keras", "tensorflow-probability"))
    compare(options.rounds)
    if options.details:
        details()


if __name__ == "__main__":
    main()
