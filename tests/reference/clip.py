"""CLIPTextModel and CLIPTextModelWithProjection, and CLIP's tokenizer for ASCII texts."""
import json
import os
import re

import torch

from layers import ACTIVATIONS, layer_norm, linear, scores_attention


def text_model(w, c, input_ids):
    """input_ids [B, T] -> {hidden_states: list of layers + 1, last_hidden_state, penultimate_hidden_state, pooled, text_embeds}."""
    p, eps, act = w["text_model"], c.get("layer_norm_eps", 1e-5), ACTIVATIONS[c.get("hidden_act", "quick_gelu")]
    length = input_ids.shape[1]
    h = p["embeddings", "token_embedding"].weight[input_ids] + p["embeddings", "position_embedding"].weight[:length]
    mask = torch.full((length, length), float("-inf")).triu(1)
    states = [h]
    for i in range(c["num_hidden_layers"]):
        q = p["encoder", "layers", i]
        n = layer_norm(q["layer_norm1"], h, eps)
        a = q["self_attn"]
        n = scores_attention(linear(a["q_proj"], n), linear(a["k_proj"], n), linear(a["v_proj"], n),
                             c["num_attention_heads"], mask)
        h = h + linear(a["out_proj"], n)
        h = h + linear(q["mlp", "fc2"], act(linear(q["mlp", "fc1"], layer_norm(q["layer_norm2"], h, eps))))
        states.append(h)
    final = lambda x: layer_norm(p["final_layer_norm"], x, eps)
    last = final(h)
    eos = c.get("eos_token_id", 2)
    if eos == 2:  # published files: the end token has the largest id
        at = input_ids.argmax(-1)
    else:
        at = (input_ids == eos).int().argmax(-1)
    pooled = last[torch.arange(len(last)), at]
    out = {"hidden_states": states, "last_hidden_state": last, "penultimate_hidden_state": states[-2], "pooled": pooled,
           "final_layer_norm": final}
    if w.has("text_projection.weight"):
        out["text_embeds"] = linear(w["text_projection"], pooled)
    return out


class Tokenizer:
    """Byte-level BPE with end-of-word marks; texts in ASCII, which need no Unicode tables."""
    PATTERN = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[a-z]+|[0-9]|[^\sa-z0-9]+")

    def __init__(self, folder):
        with open(os.path.join(folder, "vocab.json"), encoding="utf-8") as f:
            self.ids = json.load(f)
        with open(os.path.join(folder, "merges.txt"), encoding="utf-8") as f:
            lines = [tuple(l.split()) for l in f.read().split("\n")[1:] if l.strip()]
        self.ranks = {pair: i for i, pair in enumerate(lines)}
        self.bos, self.eos = self.ids["<|startoftext|>"], self.ids["<|endoftext|>"]
        self.pad = self.eos
        for name in ("tokenizer_config.json", "special_tokens_map.json"):  # the latter wins
            path = os.path.join(folder, name)
            if os.path.exists(path):
                with open(path, encoding="utf-8") as f:
                    pad = json.load(f).get("pad_token", None)
                if pad is not None:
                    self.pad = self.ids[pad if isinstance(pad, str) else pad["content"]]

    def _word(self, word):
        symbols = list(word[:-1]) + [word[-1] + "</w>"]
        while len(symbols) > 1:
            rank, i = min((self.ranks.get((a, b), 1 << 30), i) for i, (a, b) in enumerate(zip(symbols, symbols[1:])))
            if rank == 1 << 30:
                break
            symbols[i:i + 2] = [symbols[i] + symbols[i + 1]]
            # one merge at a time, the leftmost of the best rank: the same result as merging all of them together
        return [self.ids.get(s, self.eos) for s in symbols]

    def tokens(self, text):
        """Ids of a text without start and end."""
        assert text.isascii()
        return [i for word in self.PATTERN.findall(text.lower()) for i in self._word(word)]

    def __call__(self, text, length=77, chunks=1):
        """(ids [chunks, length]: start, tokens, end, padding; weights [chunks, length]). text: a string or [(string, weight)]."""
        parts = [(text, 1.0)] if isinstance(text, str) else text
        tokens = [(i, weight) for part, weight in parts for i in self.tokens(part)]
        rows = []
        for at in range(chunks):
            row = [(self.bos, 1.0)] + tokens[at * (length - 2):(at + 1) * (length - 2)] + [(self.eos, 1.0)]
            rows.append(row + [(self.pad, 1.0)] * (length - len(row)))
        return torch.tensor([[i for i, _ in r] for r in rows]), torch.tensor([[w for _, w in r] for r in rows])
