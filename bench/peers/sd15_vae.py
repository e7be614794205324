"""The decoder of Stable Diffusion 1.5's autoencoder (models/configs/sd-v1-5/vae), random weights: latent 64x64 to picture 512x512."""
import torch
import torch.nn as nn
import torch.nn.functional as F

from sd_layers import GROUPS, Attention, ResnetBlock, Upsample

INPUT_NAMES = ("latent",)
CHANNELS, LAYERS, EPS = (128, 256, 512, 512), 2, 1e-6


class ImageAttention(nn.Module):
    def __init__(self, ch):
        super().__init__()
        self.group_norm, self.attention = nn.GroupNorm(GROUPS, ch, EPS), Attention(ch, ch, 1, bias=True)

    def forward(self, x):
        b, c, height, width = x.shape
        h = self.attention(self.group_norm(x).reshape(b, c, height * width).transpose(1, 2))
        return x + h.transpose(1, 2).reshape(b, c, height, width)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        ch = CHANNELS[-1]
        self.post_quant_conv, self.conv_in = nn.Conv2d(4, 4, 1), nn.Conv2d(4, ch, 3, padding=1)
        layers = [ResnetBlock(ch, ch, 0, EPS), ImageAttention(ch), ResnetBlock(ch, ch, 0, EPS)]
        for i, width in reversed(list(enumerate(CHANNELS))):
            layers += [ResnetBlock(ch if j == 0 else width, width, 0, EPS) for j in range(LAYERS + 1)]
            layers += [Upsample(width)] if i > 0 else []
            ch = width
        self.layers = nn.Sequential(*layers)
        self.norm_out, self.conv_out = nn.GroupNorm(GROUPS, ch, EPS), nn.Conv2d(ch, 3, 3, padding=1)

    def forward(self, latent):
        h = self.layers(self.conv_in(self.post_quant_conv(latent)))
        return self.conv_out(F.silu(self.norm_out(h)))


def inputs(batch):
    return (torch.randn(batch, 4, 64, 64),)
