"""Blends an edit into its photo by strength and mask. Outside the mask the photo stays unchanged, bit for bit."""

from PIL import Image, ImageChops, ImageFilter

FEATHER = 0.01  # width of a mask's soft border, as a share of the short side


def blend(photo: Image.Image, edit: Image.Image, strength: float = 1.0, mask: Image.Image | None = None) -> Image.Image:
    """Blend an edit over its photo, both RGB. A photo of another size is resized to that of the edit.

    `strength` 0 is the photo, 1 the edit. `mask` is gray, of any size: the edit shows where it is white, and nothing
    changes where it is black. The border is softened on the white side only.
    """
    if strength == 1 and mask is None:
        return edit
    if photo.size != edit.size:
        photo = photo.resize(edit.size, Image.Resampling.LANCZOS)
    mixed = Image.blend(photo, edit, strength)
    return mixed if mask is None else Image.composite(mixed, photo, feathered(mask.resize(edit.size)))


def feathered(mask: Image.Image) -> Image.Image:
    """The mask with borders that are soft on the inside."""
    radius = max(1.0, FEATHER * min(mask.size))
    soft = mask.filter(ImageFilter.GaussianBlur(radius)).point(lambda level: max(0, 2 * level - 255))
    return ImageChops.darker(soft, mask)
