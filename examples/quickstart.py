"""A first model, from data to a checked export, in half a minute: `python examples/quickstart.py`.

The data are scikit-learn's handwritten digits, 8x8 pixels, made black and white so that the model's figures
are log-probabilities. Pictures, model and export go to `quickstart_output/`.
"""

import quiet_start  # noqa: F401  # isort: skip

from pathlib import Path

import keras
import numpy as np

import keras_genmod as kg

output = Path("quickstart_output")
output.mkdir(exist_ok=True)
digits = kg.data.load("digits")
train, valid, test = (kg.data.binarize(digits[part] / 16) for part in ("train", "valid", "test"))

model = kg.VAE((8, 8, 1), latent_dim=8, seed=1)
model.compile(keras.optimizers.Adam(2e-3))
history = model.fit(train, validation_data=valid, batch_size=16, epochs=40)

probs = (train.sum(axis=0) + 1) / (len(train) + 2)  # The baseline takes each pixel by its own frequency.
baseline = np.log(np.where(test == 1, probs, 1 - probs)).sum(axis=(1, 2, 3)).mean()
nats = np.mean(model.log_prob(test, num_samples=500))
print(f"\nlog p(x) of unseen digits: {nats:.2f} nats (importance-weighted bound); baseline {baseline:.2f}")

kg.plots.history(history).savefig(output / "curves.png")
kg.plots.samples(model, x=test, seed=1).savefig(output / "samples.png")
kg.plots.reconstructions(model, test[:24]).savefig(output / "reconstructions.png")
kg.plots.latent_map(model, test, digits["test_labels"]).savefig(output / "latent_map.png")
kg.plots.traversals(model, test).savefig(output / "traversals.png")

model.save(output / "vae.keras")
keras.saving.load_model(output / "vae.keras").export(output / "serving" / "1", overwrite=True)
differences = kg.serving.verify(output / "serving" / "1")  # In a process without this package.
print(f"{output}/: 5 pictures, vae.keras, and an export that differs by {max(differences.values()):.0e}")
print("Next: python examples/tour.py asks the export; or put kg.IWAE or kg.BetaTCVAE in place of kg.VAE")
