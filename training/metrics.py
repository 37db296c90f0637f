"""How far two pictures are apart, and what can be counted in one. Pictures are (H, W, 3) float32 in [0, 1]."""

import cv2
import numpy as np

from training.edits import GRAIN_SIZE, Picture

ALIKE = 60.0  # dB; nearer pictures count as this near


def psnr(a: Picture, b: Picture) -> float:
    """Peak signal-to-noise ratio in dB, 60 at most."""
    error = float(np.mean(np.square(a - b)))
    return min(ALIKE, -10 * float(np.log10(max(error, 1e-9))))


def ssim(a: Picture, b: Picture) -> float:
    """Structural similarity of the lumas, 1 for equal pictures (Wang et al. 2004: 11 px Gaussian window, sigma 1.5)."""
    x, y = _luma(a), _luma(b)
    mean_x, mean_y = _window(x), _window(y)
    var_x, var_y = _window(x * x) - mean_x**2, _window(y * y) - mean_y**2
    covariance = _window(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    lightness = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (var_x + var_y + c2)
    return float(np.mean(lightness * structure))


def grain_variance(picture: Picture) -> float:
    """Variance of the luma's detail of a grain's size, which is what film grain adds to."""
    return noise_variance(cv2.resize(picture, None, fx=1 / GRAIN_SIZE, fy=1 / GRAIN_SIZE, interpolation=cv2.INTER_AREA))


def noise_variance(picture: Picture) -> float:
    """Variance of the luma's finest detail (Immerkaer 1996)."""
    laplacian = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    detail = cv2.filter2D(_luma(picture), cv2.CV_32F, laplacian)[1:-1, 1:-1]
    return float(np.pi / 2 * (np.abs(detail).mean() / 6) ** 2)


def gradient_energy(picture: Picture) -> float:
    """Mean squared slope of the luma, which sharpening raises."""
    down, right = np.gradient(_luma(picture))
    return float(np.mean(down**2 + right**2))


def levels(picture: Picture) -> float:
    """How many of 64 shades the luma makes use of: exp of its histogram's entropy."""
    counts = np.bincount((np.clip(_luma(picture), 0, 1) * 63.999).astype(int).ravel())
    shares = counts[counts > 0] / counts.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _luma(picture: Picture) -> Picture:
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)


def _window(x: Picture) -> Picture:
    return cv2.GaussianBlur(x, (11, 11), 1.5, borderType=cv2.BORDER_REFLECT)
