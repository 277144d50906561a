"""How fast autoregressive models sample, beside a whole pass through the network for each pixel.

    python -m tests.benchmarks.pixel_sampling [--models pixel_cnn nade] [--rounds 10] [--batch 16]
    python -m tests.benchmarks.pixel_sampling --growth [--plot sampling.png]

Each model makes the same binary images of 28 x 28 from the same seeds in several ways:

* `naive`: `generate_naively`, a pass through the whole network for each pixel, as one graph. First for some
  pixels, without and with XLA, scaled up to the image; then the faster one for all pixels, once. With
  `--naive-pixels N` only the first part, for N pixels. Each pixel costs the same: it is the same pass;
* `sample`: `model.sample`, without and with XLA: the call as users write it, random numbers included;
* `SavedModel`: the signature `sample_rows` of an export, called in this process; and through the C API with
  XLA switched off, as on a model server, in a process of its own;
* `products alone`: a loop over the pixels with nothing in it but each layer's matrix product with the
  weights that one pixel needs (of a masked kernel the taps that it sees), one after the other.

`µs/pixel` is the time of one pixel of all the batch's images. `naive /` is the factor over the fastest naive
measurement, the whole one where there is one. `first call` includes tracing and compilation.
`differs` is the largest difference from the images of `sample`: the script fails unless all are 0. All run in
turns, in one process but for the C API's, and figures are medians.

`--growth` measures naive and fast sampling against the side of the image.
"""

from __future__ import annotations

import argparse
import functools
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

import keras_genmod as kg
from keras_genmod.core.noise import as_seed, row_seeds
from keras_genmod.core.rows import as_graph
from keras_genmod.layers.masked_conv import MaskedConv2D
from keras_genmod.networks.autoregressive import AutoregressiveNetwork
from keras_genmod.networks.masked_dense import MaskedDenseNetwork
from keras_genmod.networks.nade import NADENetwork
from keras_genmod.serving import c_api_script, runner
from keras_genmod.serving.export import export_saved_model
from tests.benchmarks.common import hardware, median, print_table, run_python, write_report

SEED = 1
SIDE = 28
PROBED_PIXELS = 32
GROWTH_SIDES = (16, 28, 64)
# Beyond, all pixels of the naive way would take an hour.
LARGEST_WHOLE_SIDE = 28


def pixel_cnn(side: int = SIDE) -> kg.PixelCNN:
    """The benchmark network."""
    return kg.PixelCNN((side, side, 1), filters=128, num_blocks=5, seed=SEED)


MODELS = {
    "pixel_cnn": pixel_cnn,
    "gated_pixel_cnn": lambda: kg.PixelCNN((SIDE, SIDE, 1), filters=64, num_blocks=5, gated=True, seed=SEED),
    "diagonal_pixel_rnn": lambda: kg.PixelRNN((SIDE, SIDE, 1), kind="diagonal", units=32, seed=SEED),
    "row_pixel_rnn": lambda: kg.PixelRNN((SIDE, SIDE, 1), kind="row", units=32, seed=SEED),
    "nade": lambda: kg.NADE((SIDE**2,), hidden_dim=500, seed=SEED),
    "made": lambda: kg.MADE((SIDE**2,), hidden_dims=(500,), seed=SEED),
    "made_8000": lambda: kg.MADE((SIDE**2,), hidden_dims=(8000,), seed=SEED),
}


def timed(function: Callable[[], Any]) -> tuple[np.ndarray, float]:
    """The result, and the seconds that it took."""
    start = time.perf_counter()
    result = np.asarray(function())
    return result, time.perf_counter() - start


# ---- the naive way --------------------------------------------------------------------------------


def draw_naively(model: Any, uniforms: tf.Tensor, num_pixels: tf.Tensor) -> tf.Tensor:
    """`model._generate(uniforms, naive=True)`, stopped after so many pixels: flat images `[B, D]`."""
    head, network = model._likelihood_head, model.network
    size = network.num_variables
    variables = network.variables_in_order()

    def body(step: tf.Tensor, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        variable = variables[step]
        data = head.standardize(tf.reshape(x, [-1, *network.event_shape]))
        params = tf.gather(network._by_variable(network(data)), variable, axis=2)
        value = head.draw(params, uniforms[variable], 1.0)
        return step + 1, tf.where(tf.range(size) == variable, value[:, None], x)

    start = tf.zeros([uniforms.shape[1], size])
    return tf.while_loop(lambda step, _: step < num_pixels, body, (0, start))[1]


class Naive(NamedTuple):
    """One measurement of the naive way, in seconds of all pixels and of the first call."""

    name: str
    num_pixels: int
    seconds: float
    first: float
    images: np.ndarray


def measure_naively(model: Any, uniforms: tf.Tensor, num_pixels: int | None, whole: bool) -> list[Naive]:
    """Some pixels without and with XLA; then, if wanted, all pixels the faster way."""
    size = model.network.num_variables
    num_pixels = min(num_pixels or PROBED_PIXELS, size)

    def measure(name: str, graph: Callable, count: int, first: float) -> Naive:
        images, seconds = timed(lambda: graph(uniforms, tf.constant(count)))
        return Naive(name, count, seconds * size / count, first, images)

    probes = []
    for jit_compile in (False, True):
        graph = as_graph(
            lambda uniforms, count: draw_naively(model, uniforms, count), jit_compile=jit_compile or None
        )
        _, first = timed(lambda graph=graph: graph(uniforms, tf.constant(1)))
        name = "naive, XLA" if jit_compile else "naive"
        probes.append((measure(name, graph, num_pixels, first), graph))
    measured = [probe for probe, _ in probes]
    if whole:
        fastest, graph = min(probes, key=lambda probe: probe[0].seconds)
        measured.append(measure(fastest.name, graph, size, fastest.first))
    return measured


# ---- the weights of one pixel, and nothing else ---------------------------------------------------


def pixel_weights(network: AutoregressiveNetwork) -> list[tf.Tensor]:
    """The matrices `[inputs, outputs]` of one pixel's products; `[D, ...]` where each pixel has its own."""
    if isinstance(network, NADENetwork):
        return [network.kernel[:, None], tf.transpose(network._output_weights(), [0, 2, 1])]
    if isinstance(network, MaskedDenseNetwork):
        kernels = [layer.kernel for layer in (*network.layers, network.output_layer)]
        tables = [network._group_table(degrees, 0)[0] for degrees in network.degrees]
        return [kernels[0][:, None], *map(tf.gather, kernels[1:], tables)]
    weights = []
    for layer in network._flatten_layers():
        if isinstance(layer, MaskedConv2D):
            weights.append(seen_weights(layer))
        elif hasattr(layer, "recurrent_kernel"):
            kernel = layer.recurrent_kernel
            # Of both directions, or of the three pixels above.
            directions = tf.unstack(kernel) if kernel.shape.rank == 3 else [kernel]
            weights += [tf.reshape(each, [-1, each.shape[-1]]) for each in directions]
    return weights


def seen_weights(layer: MaskedConv2D) -> tf.Tensor:
    """The taps of a masked kernel that a pixel sees, as one matrix."""
    kernel = layer.masked_kernel().numpy()
    taps = kernel.reshape(-1, *kernel.shape[2:])
    if layer._mask is not None:
        taps = taps[layer._mask.reshape(taps.shape).any(axis=(1, 2))]
    return tf.constant(taps.reshape(-1, layer.filters))


def multiply_only(weights: Sequence[tf.Tensor], num_pixels: int, batch: int) -> tf.Tensor:
    """One product with each of the weights for each pixel, each of the result before it."""
    inputs, outputs = ([weight.shape[axis] for weight in weights] for axis in (-2, -1))
    # What the product after each takes; after the last comes the first of the next pixel.
    taken = [*inputs[1:], inputs[0]]

    def body(step: tf.Tensor, x: tf.Tensor, sums: list) -> tuple[tf.Tensor, tf.Tensor, list]:
        sums = list(sums)
        for index, (weight, size) in enumerate(zip(weights, taken, strict=True)):
            x = tf.matmul(x, weight[step] if weight.shape.rank == 3 else weight)
            if x.shape[1] > size:
                # Added up as a sampler does, or XLA would not compute what is cut off.
                sums[index] += x
            x = tf.tile(x, [1, -(-size // x.shape[1])])[:, :size]
        return step + 1, tf.sigmoid(x), sums

    start = tf.ones([batch, inputs[0]])
    sums = [tf.zeros([batch, size]) for size in outputs]
    _, x, sums = tf.while_loop(
        lambda step, *_: step < num_pixels, body, (0, start, sums), parallel_iterations=1
    )
    return tf.add_n([tf.reduce_sum(each) for each in (x, *sums)])


# ---- one model ------------------------------------------------------------------------------------


def serve(path: str, batch: int, rounds: int) -> None:
    """A process of its own: answers through the C API with XLA switched off, and reports."""
    model = c_api_script.SavedModel(runner._libraries(), path)
    signature = runner._read_signatures(path)["sample_rows"]
    inputs = {name: spec.name for name, spec in signature.inputs.items()}
    arrays = {"seed": row_seeds(as_seed(SEED), 0, batch).numpy()}

    def ask() -> np.ndarray:
        return model.run("sample_rows", inputs, arrays, signature.outputs)["x"]

    images, first = timed(ask)
    seconds = [timed(ask)[1] for _ in range(rounds)]
    write_report({"seconds": median(seconds), "first": first, "images": images.astype(int).tolist()})


def make_sides(model: Any, path: str, seeds: tf.Tensor) -> dict[str, Callable[[], tf.Tensor]]:
    """The sides that take turns, by name; those called `products alone` make no images."""
    batch, size = len(seeds), model.network.num_variables
    signature = tf.saved_model.load(path).signatures["sample_rows"]
    weights = [tf.convert_to_tensor(weight) for weight in pixel_weights(model.network)]
    plain, compiled = (
        as_graph(lambda weights: multiply_only(weights, size, batch), jit_compile=jit_compile)
        for jit_compile in (None, True)
    )
    return {
        "sample": lambda: model.sample(batch, seed=SEED),
        "sample, XLA": lambda: model.sample(batch, seed=SEED, jit_compile=True),
        "SavedModel": lambda: signature(seed=seeds)["x"],
        "products alone": lambda: plain(weights),
        "products alone, XLA": lambda: compiled(weights),
    }


def compare(name: str, batch: int, rounds: int, naive_pixels: int | None) -> None:
    """Measures one model and prints its table.

    Raises:
        RuntimeError: where two ways give different images.
    """
    model = MODELS[name]()
    size = model.network.num_variables
    seeds = row_seeds(as_seed(SEED), 0, batch)
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/1"
        # This signature alone: an export answers examples of each eagerly, which takes long here.
        export_saved_model(path, {"sample_rows": model.endpoints()["sample_rows"]}, default="sample_rows")
        sides = make_sides(model, path, seeds)
        images, first = {}, {}
        for side, function in sides.items():
            images[side], first[side] = timed(function)
        seconds = {side: [] for side in sides}
        for _ in range(rounds):
            for side, function in sides.items():
                seconds[side].append(timed(function)[1])
        options = (f"--batch={batch}", f"--rounds={rounds}", f"--serve={path}")
        served = run_python("-m", "tests.benchmarks.pixel_sampling", *options)
    expected = images["sample"].reshape(batch, size)
    naive = measure_naively(model, model._uniforms(seeds), naive_pixels, whole=naive_pixels is None)
    best = naive[-1].seconds if naive_pixels is None else min(measured.seconds for measured in naive)

    def row(title: str, seconds: float, first: float, received: np.ndarray | None) -> list:
        difference = None if received is None else float(np.max(np.abs(received - expected)))
        return [
            title,
            f"{seconds:.4f}",
            f"{seconds / size * 1e6:.1f}",
            f"{best / seconds:.1f}",
            f"{first:.1f}",
            "" if difference is None else f"{difference:.0f}",
        ]

    rows = []
    for measured in naive:
        part = measured.num_pixels < size
        # The rest is 0 still.
        received = np.where(np.arange(size) < measured.num_pixels, measured.images, expected)
        pixels = f"{measured.num_pixels} pixels, scaled up" if part else "all pixels"
        rows.append(row(f"{measured.name}, {pixels}", measured.seconds, measured.first, received))
    for side in sides:
        received = None if side.startswith("products") else images[side].reshape(batch, size)
        rows.append(row(side, median(seconds[side]), first[side], received))
        if side == "SavedModel":
            received = np.reshape(served["images"], (batch, size))
            rows.append(row("SavedModel, C API", served["seconds"], served["first"], received))
    print_table(
        f"{name}: {batch} images of {size} pixels, medians of {rounds}",
        ["", "seconds", "µs/pixel", "naive /", "first call, s", "differs"],
        rows,
    )
    if any(float(row[-1] or 0) for row in rows):
        raise RuntimeError(f"{name}: all ways must give the same images; they differ.")


# ---- growth with the image ------------------------------------------------------------------------


def measure_growth(batch: int, rounds: int, naive_pixels: int | None, plot: str | None) -> None:
    """Naive and fast sampling of the benchmark network against the side of the image."""
    names = ("naive", "sample", "sample, XLA")
    curves, rows = {name: [] for name in names}, []
    for side in GROWTH_SIDES:
        model = pixel_cnn(side)
        uniforms = model._uniforms(row_seeds(as_seed(SEED), 0, batch))
        whole = naive_pixels is None and side <= LARGEST_WHOLE_SIDE
        naive = measure_naively(model, uniforms, naive_pixels, whole)
        best = naive[-1] if whole else min(naive, key=lambda measured: measured.seconds)
        seconds = [best.seconds]
        for jit_compile in (False, True):
            draw = functools.partial(model.sample, batch, seed=SEED, jit_compile=jit_compile)
            timed(draw)
            seconds.append(median([timed(draw)[1] for _ in range(rounds)]))
        for name, value in zip(names, seconds, strict=True):
            curves[name].append(value)
        rows.append(
            [
                f"{side} x {side}",
                f"{best.name}, {'all' if whole else best.num_pixels} pixels",
                *[f"{value:.3f}" for value in seconds],
                *[f"{seconds[0] / value:.1f}" for value in seconds[1:]],
            ]
        )
    print_table(
        f"pixel_cnn: seconds for {batch} images; naive from some pixels scaled up where not all were made",
        ["image", "naive measured as", *names, "naive / sample", "naive / XLA"],
        rows,
    )
    if plot:
        draw_growth(curves, batch, plot)


def draw_growth(curves: dict[str, list[float]], batch: int, path: str) -> None:
    """Both axes logarithmic, so that a power of the side is a straight line."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.5), layout="constrained")
    axes = figure.subplots()
    for name, seconds in curves.items():
        axes.loglog(GROWTH_SIDES, seconds, marker="o", label=name)
    axes.set_xticks(GROWTH_SIDES, [str(side) for side in GROWTH_SIDES])
    axes.minorticks_off()
    axes.set_xlabel("side of the image, pixels")
    axes.set_ylabel(f"seconds for {batch} images")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=80)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--naive-pixels", type=int, help="how many pixels the naive way makes; default all")
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--plot", help="with --growth: the PNG to write")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.batch, options.rounds)
        return
    print(hardware("tensorflow", "keras"))
    if options.growth:
        measure_growth(options.batch, options.rounds, options.naive_pixels, options.plot)
        return
    for name in options.models:
        compare(name, options.batch, options.rounds, options.naive_pixels)


if __name__ == "__main__":
    main()
