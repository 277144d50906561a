"""Exact test likelihoods of the autoregressive family, compared with published ones.

    python examples/reproduce/autoregressive_densities.py pixel_cnn [--minutes 55] [--data binarized_mnist]

Trains one model for a given time on a data set of the published density tables, and prints its row: model,
exact negative log-likelihood of the test set in nats, number of weights, epochs, minutes. The weights are
those of the best epoch on the validation set; the test set is used once. The learning rate falls along a half
cosine over the given time. The folder `--output` receives the training and validation curves, the model, and
samples.

Published (nats): fixed-binarised MNIST: FVSBN 97.45, NADE 88.33 (NADE paper, Larochelle and Murray, 2011);
MADE with one hidden layer of 8000 and one mask 88.40, with two and 32 masks 86.64 (MADE paper, Germain et
al., 2015), with one of 500 about 94.5 (read off the paper's figure 2 by karpathy/pytorch-made); PixelCNN
81.30, PixelRNN with one Diagonal BiLSTM 80.75 (van den Oord et al., 2016). DNA: NADE 84.81, MADE 83.63;
Mushrooms: NADE 9.81, MADE 9.68 (MADE paper).
"""

import numpy as np
from density_training import Setting, parser, run

import keras_genmod as kg


def fvsbn(x, **options):
    return kg.FVSBN(x.shape[1:], seed=0, **options)


def nade(x, **options):
    return kg.NADE(x.shape[1:], seed=0, **options)


def made(x, **options):
    return kg.MADE(x.shape[1:], seed=0, **options)


def made_8000_8000(x):
    """32 masks of one order, in bfloat16, which halves the time of a step."""
    order = np.random.default_rng(0).permutation(x.shape[1]).tolist()
    return made(x, hidden_dims=(8000, 8000), num_masks=32, ordering=order, dtype="mixed_bfloat16")


def pixel_cnn(x, **options):
    return kg.PixelCNN(x.shape[1:], seed=0, **options)


MNIST = {
    "fvsbn": Setting(
        lambda x: fvsbn(x, ordering="random"), 100, 0.02, 1.5e-3, momentum=0.9, undecayed=("bias",)
    ),
    "nade": Setting(
        lambda x: nade(x, hidden_dim=500, ordering="random", activation="relu"),
        50,
        3e-3,
        0.15,
        undecayed=("bias",),
    ),
    "made_500": Setting(lambda x: made(x, hidden_dims=(500,), ordering="random"), 50),
    "made_8000": Setting(lambda x: made(x, hidden_dims=(8000,), ordering="random"), 200, weight_decay=0.2),
    "made_8000_8000": Setting(made_8000_8000, 200, weight_decay=0.1),
    "pixel_cnn": Setting(
        lambda x: pixel_cnn(x, filters=64, num_blocks=6, kernel_size=5), 32, 3e-3, 0.1, images=True
    ),
    "gated_pixel_cnn": Setting(
        lambda x: pixel_cnn(x, filters=32, num_blocks=5, gated=True), 32, 3e-3, images=True
    ),
    "pixel_rnn": Setting(lambda x: kg.PixelRNN(x.shape[1:], units=16, seed=0), 20, 3e-3, images=True),
}
DNA = {
    "fvsbn": Setting(fvsbn, 20),
    "nade": Setting(lambda x: nade(x, hidden_dim=50), 20, weight_decay=0.1),
    "made": Setting(lambda x: made(x, hidden_dims=(50,), direct_connections=True), 20, weight_decay=0.3),
}
MUSHROOMS = {
    "fvsbn": Setting(fvsbn, 20),
    "nade": Setting(lambda x: nade(x, hidden_dim=500), 20, 3e-3, 0.03),
    "made": Setting(
        lambda x: made(
            x, hidden_dims=(500,), direct_connections=True, activation="sigmoid", ordering="reverse"
        ),
        20,
        3e-3,
        0.07,
    ),
}
SETTINGS = {"binarized_mnist": MNIST, "dna": DNA, "mushrooms": MUSHROOMS}


def main():
    command = parser(__doc__, MNIST | DNA, output="reproduce_output/autoregressive")
    command.add_argument("--data", default="binarized_mnist", choices=SETTINGS)
    arguments = command.parse_args()
    settings = SETTINGS[arguments.data]
    if arguments.model not in settings:
        command.error(f"the models of {arguments.data} are {', '.join(settings)}")
    run(
        arguments,
        settings[arguments.model],
        kg.data.load(arguments.data),
        measure=lambda model, x: ("test nll (exact)", -model.log_prob(x)),
    )


if __name__ == "__main__":
    main()
