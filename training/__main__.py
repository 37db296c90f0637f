"""Makes a checkpoint: photos, autoencoder, text encoder, UNet, the folder that a service loads, its figures, its card.

Each stage leaves its result in the working folder and is skipped when that is there; one that was cut off goes on from
its last minute.
"""

import argparse
import logging
import time
from pathlib import Path

import torch

from training import card, photos
from training.autoencoder import train_autoencoder, train_decoder
from training.diffusion import editor, train_unet
from training.edits import FAMILIES
from training.evaluation import LARGE, PHOTOS, Run, assess, report, tasks
from training.language import train_reader
from training.package import package
from training.plots import plot_losses
from training.recipe import MICRO, Recipe
from training.samples import KINDS, Samples, Shares

log = logging.getLogger("training")


def main() -> None:
    arguments = read_arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(1)
    recipe, work = Recipe.read(arguments.recipe, arguments.minutes), arguments.work
    work.mkdir(parents=True, exist_ok=True)
    with stage("photos"):
        photos.gather(work / "photos")
    asked = recipe["unet"]
    samples = Samples(work / "photos", Shares.of(asked), (*KINDS, *2 * asked["harder"]))
    with stage("autoencoder"):
        vae = train_autoencoder(recipe, samples, work)
    with stage("text encoder"):
        reader = train_reader(recipe, samples, work)
    with stage("UNet"):
        unet = train_unet(recipe, samples, vae, reader, work)
    with stage("decoder"):
        train_decoder(recipe, samples, vae, editor(recipe, vae, reader, unet), work)
    with stage("folder"):
        package(recipe, samples, vae, reader, unet, arguments.out)
        (arguments.out / "ATTRIBUTION.md").write_text(photos.attribution(work / "photos"), encoding="utf-8")
        plot_losses(work, work / "losses.png")
    with stage("evaluation"):
        wanted = tasks(work / "photos", PHOTOS, LARGE, tuple(FAMILIES))
        run = Run(arguments.out, work / "photos")
        log.info("%s", report(assess(run, wanted, recipe["workers"], work / "evaluation")))
    with stage("card"):
        card.write(arguments.out, work, work / "card.md")
    log.info("%s is ready; %s says how good it is", arguments.out, work / "card.md")


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev train", description="Train a checkpoint from photos, by one recipe.")
    parser.add_argument("--recipe", type=Path, default=MICRO, help="the numbers (default: %(default)s)")
    parser.add_argument("--minutes", type=float, help="of training in all, instead of the recipe's")
    parser.add_argument("--work", type=Path, default=Path(".training"), help="for photos, logs, states (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path(".training/checkpoint"), help="the checkpoint (%(default)s)")
    return parser.parse_args()


class stage:  # noqa: N801
    """Says when a stage begins, and how long it took."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        self.started = time.monotonic()
        log.info("%s ...", self.name)

    def __exit__(self, *_: object) -> None:
        log.info("%s: %.1f min", self.name, (time.monotonic() - self.started) / 60)


if __name__ == "__main__":
    main()
