"""PNG files as tensors and back, with diffusers' rounding and resizing; the rest of the reference needs no Pillow."""
import math

import numpy as np
import torch
from PIL import Image


def _open(path, mode, size):
    """size: (width, height) or None."""
    image = Image.open(path).convert(mode)
    if size and image.size != tuple(size):
        image = image.resize(size, Image.Resampling.LANCZOS)
    return np.asarray(image, np.float32) / 255


def read_rgb(path, size=None):
    """[1, 3, H, W] in -1..1."""
    return torch.from_numpy(_open(path, "RGB", size)).permute(2, 0, 1)[None] * 2 - 1


def read_mask(path, size=None):
    """[1, 1, H, W]: 1 where the picture is to be repainted."""
    return torch.from_numpy((_open(path, "L", size) >= 0.5).astype(np.float32))[None, None]


def read_gray(path):
    """[1, 1, H, W] in 0..1."""
    return torch.from_numpy(_open(path, "L", None).copy())[None, None]


def to_bytes(image):
    """[3, H, W] in -1..1 -> [H, W, 3] u8, halves to even."""
    return (image / 2 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8).permute(1, 2, 0).numpy()


def write(path, image):
    Image.fromarray(to_bytes(image)).save(path, optimize=True)


def psnr(a, b):
    mse = float(((np.asarray(a, np.float64) - np.asarray(b, np.float64)) ** 2).mean())
    return math.inf if mse == 0 else 10 * math.log10(255 ** 2 / mse)


def read_bytes(path):
    return np.asarray(Image.open(path).convert("RGB"))
