"""All six models by six instructions on one sheet: `./dev bench contact_sheet [-o sheet.jpg]`. For looking at."""

import argparse
from pathlib import Path

from PIL import Image, ImageDraw

from pipeline.catalogue import MODELS
from pipeline.edit import Pipeline

ROOT = Path(__file__).parents[1]
INSTRUCTIONS = (
    "make it sunset",
    "make it look like night",
    "make it a pencil sketch",
    "turn it blue",
    "make it snowy",
    "make it sepia",
)
SIDE, LABEL = 256, 18


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", default=ROOT / "checkpoints" / "micro")
    parser.add_argument("--photo", type=Path, default=ROOT / "examples" / "mountains.jpg")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, default=Path("contact-sheet.jpg"))
    arguments = parser.parse_args()
    photo = Image.open(arguments.photo)
    base = Pipeline.load(arguments.checkpoint, model="pix2pix-base")
    sheet = Image.new("RGB", (SIDE * len(INSTRUCTIONS), (SIDE + LABEL) * len(MODELS)), "white")
    draw = ImageDraw.Draw(sheet)
    for row, model in enumerate(MODELS):
        pipe = base.with_model(model)
        for column, instruction in enumerate(INSTRUCTIONS):
            edited = pipe.edit(photo, instruction, seed=arguments.seed, size="256x256")
            place = column * SIDE, row * (SIDE + LABEL)
            draw.text((place[0] + 4, place[1] + 3), f"{model}: {instruction}", fill="black")
            sheet.paste(edited.resize((SIDE, SIDE)), (place[0], place[1] + LABEL))
    sheet.save(arguments.output, quality=85)
    print(arguments.output)


if __name__ == "__main__":
    main()
