"""The text encoder of Stable Diffusion 1.5 (models/configs/sd-v1-5/text_encoder: CLIP's), random weights: 77 tokens to their last hidden states."""
import torch
import torch.nn as nn

from sd_layers import Attention

INPUT_NAMES = ("input_ids",)
TOKENS, WIDTH, LAYERS, HEADS, VOCABULARY = 77, 768, 12, 12, 49408


class Causal(Attention):
    """A token sees itself and those before it. CLIP's projections have biases."""

    def __init__(self):
        super().__init__(WIDTH, WIDTH, HEADS, bias=True)

    def forward(self, x, mask):
        b, t, c = x.shape
        q, k, v = self.split(self.to_q(x)), self.split(self.to_k(x)), self.split(self.to_v(x))
        p = torch.softmax(torch.matmul(q * (c // self.heads) ** -0.5, k.transpose(-1, -2)) + mask, -1)
        return self.to_out[0](torch.matmul(p, v).transpose(1, 2).reshape(b, t, c))


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.attention, self.norm2 = nn.LayerNorm(WIDTH), Causal(), nn.LayerNorm(WIDTH)
        self.fc1, self.fc2 = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x, mask):
        x = x + self.attention(self.norm1(x), mask)
        h = self.fc1(self.norm2(x))
        return x + self.fc2(h * torch.sigmoid(1.702 * h))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.token, self.position = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(TOKENS, WIDTH)
        self.layers, self.norm = nn.ModuleList([Layer() for _ in range(LAYERS)]), nn.LayerNorm(WIDTH)
        self.register_buffer("mask", torch.triu(torch.full((TOKENS, TOKENS), -1e9), 1))

    def forward(self, input_ids):
        x = self.token(input_ids) + self.position.weight
        for layer in self.layers:
            x = layer(x, self.mask)
        return self.norm(x)


def inputs(batch):
    return (torch.randint(0, VOCABULARY, (batch, TOKENS)),)
