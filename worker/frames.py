"""Small intermediate pictures of an edit, kept as one sprite."""

import io

from PIL import Image

from worker.editors.editor import Step

MAX_FRAMES = 24


def is_kept(step: int, steps: int) -> bool:
    """Whether this step's pictures are among the evenly spaced ones. Those of the last step always are."""
    return (step * MAX_FRAMES) // steps > ((step - 1) * MAX_FRAMES) // steps


class Frames:
    """At most 24 evenly spaced pairs: the picture as it was predicted, and the latents with their noise."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self._pairs: list[tuple[Image.Image, Image.Image]] = []

    def note(self, progress: Step) -> None:
        """Keep the pair of this step if it is one of the evenly spaced ones. The last step always is."""
        if self.steps and progress.step <= self.steps[-1]:  # the edit was repeated from its start
            self.steps, self._pairs = [], []
        if is_kept(progress.step, progress.steps):
            preview, noisy = progress.preview(), progress.noisy()
            if preview is not None and noisy is not None:
                self._pairs.append((preview, noisy))
                self.steps.append(progress.step)

    def sprite(self) -> tuple[bytes, tuple[int, int]]:
        """All pairs side by side as a JPEG, predictions above, noise below; and its width and height."""
        width, height = self._pairs[0][0].size
        sheet = Image.new("RGB", (width * len(self._pairs), 2 * height))
        for column, pair in enumerate(self._pairs):
            for row, picture in enumerate(pair):
                sheet.paste(picture, (column * width, row * height))
        data = io.BytesIO()
        sheet.save(data, "JPEG", quality=85)
        return data.getvalue(), sheet.size
