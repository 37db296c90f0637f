"""How much of an edit a photo gets, and where; what a mask leaves out stays the photo's own, bit for bit."""

from PIL import Image, ImageChops, ImageFilter

FEATHER = 0.01  # of the short side: how far inside a mask's border the edit becomes whole


def blend(photo: Image.Image, edit: Image.Image, strength: float = 1.0, mask: Image.Image | None = None) -> Image.Image:
    """The edit laid over its photo, both in RGB; the photo is brought to the edit's size if it has another.

    `strength` 0 is the photo, 1 the edit. `mask` is gray, of any size: the edit shows where it is white, and where it
    is black nothing changes at all; its border is softened on the white side only.
    """
    if strength == 1 and mask is None:
        return edit
    if photo.size != edit.size:
        photo = photo.resize(edit.size, Image.Resampling.LANCZOS)
    mixed = Image.blend(photo, edit, strength)
    return mixed if mask is None else Image.composite(mixed, photo, feathered(mask.resize(edit.size)))


def feathered(mask: Image.Image) -> Image.Image:
    """The mask with soft borders that reach nowhere beyond it."""
    radius = max(1.0, FEATHER * min(mask.size))
    soft = mask.filter(ImageFilter.GaussianBlur(radius)).point(lambda level: max(0, 2 * level - 255))
    return ImageChops.darker(soft, mask)
