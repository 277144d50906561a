"""Runs the short examples and copies their pictures to `examples/gallery/`.

    python examples/update_gallery.py [quickstart digits_gan ...]

Each example writes its pictures to a folder of its own, `<name>_output/`, in a temporary folder; this script
copies those that the documentation shows. Without names it runs all examples below, one after the other, in
about eight minutes on two idle cores. The pictures of `examples/reproduce/` need real data and long
trainings; they are copied from its output folders by hand.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent
GALLERY = EXAMPLES / "gallery"

# Example -> picture in its folder -> picture in the gallery.
PICTURES = {
    "quickstart": {
        "curves.png": "quickstart_curves.png",
        "samples.png": "quickstart_samples.png",
        "reconstructions.png": "quickstart_reconstructions.png",
        "latent_map.png": "quickstart_latent_map.png",
        "traversals.png": "quickstart_traversals.png",
    },
    "tour": {
        "scores.png": "tour_scores.png",
        "roc.png": "tour_roc.png",
        "interpolations.png": "tour_interpolations.png",
    },
    "boltzmann_digits": {"completions.png": "boltzmann_digits.png", "filters.png": "boltzmann_filters.png"},
    "complete_digits": {"completions.png": "complete_digits.png"},
    "conditional_vae": {"samples.png": "conditional_vae.png"},
    "denoising_autoencoder": {"restored.png": "denoising.png", "scores.png": "denoising_scores.png"},
    "digits_gan": {"curves.png": "digits_gan_curves.png", "samples.png": "digits_gan_samples.png"},
    "disentanglement": {
        "vae.png": "disentanglement_vae.png",
        "beta-tcvae.png": "disentanglement_beta-tcvae.png",
    },
    "translate_digits": {
        "unpaired.png": "translate_unpaired.png",
        "enlarged.png": "translate_enlarged.png",
    },
    "variational_family": {
        "samples.png": "variational_samples.png",
        "vq_vae.png": "variational_vq_vae.png",
    },
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="example", help=f"of {', '.join(PICTURES)}")
    names = parser.parse_args().names or list(PICTURES)
    if unknown := sorted(set(names) - set(PICTURES)):
        parser.error(f"no pictures of {', '.join(unknown)} are in the gallery; it has {', '.join(PICTURES)}")
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            run(name, Path(folder))


def run(name, folder):
    """Runs one example in a folder and copies its pictures."""
    print(f"examples/{name}.py", flush=True)
    paths = os.pathsep.join(filter(None, [str(EXAMPLES.parent), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": paths}
    command = [sys.executable, str(EXAMPLES / f"{name}.py")]
    subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=True)
    for picture, shown in PICTURES[name].items():
        shutil.copy(folder / f"{name}_output" / picture, GALLERY / shown)
        print(f"  gallery/{shown}")


if __name__ == "__main__":
    main()
