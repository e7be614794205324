"""The works: a network, how every engine is given it, and how often it is worth running."""
from dataclasses import dataclass



@dataclass(frozen=True)
class Work:
    name: str
    model: str  # what ebru compiles
    functions: dict  # batch -> the network's name in the program; all its stages are timed and summed
    network: str  # module in bench/peers
    feeds: tuple  # NAME=DTYPE:SHAPE of every input for onnxruntime, b is the batch
    rounds: int
    runs: int
    program_batch: bool = False  # the program is compiled for the batch; else it has a function for each

    def feeds_of(self, batch):
        return [feed.replace(":b", ":%d" % batch) for feed in self.feeds]


WORKS = {w.name: w for w in (
    Work("class-unet-32", "models/class-unet-32.json", {b: "unet" for b in (1, 2, 4, 8, 16)}, "class_unet",
         ("sample=float32:bx3x32x32", "timestep=float32:b", "class_labels=int64:b"), 5, 40, program_batch=True),
    # at batch 2 the two halves of guidance: the same picture under two prompts
    Work("sd15-unet", "models/configs/sd-v1-5", {1: "unet", 2: "unet@2"}, "sd15_unet",
         ("sample=float32:bx4x64x64", "timestep=float32:b", "encoder_hidden_states=float32:bx77x768"), 3, 3),
    Work("sd15-text", "models/configs/sd-v1-5", {1: "text_encoder"}, "sd15_text", ("input_ids=int64:bx77",), 3, 20),
    Work("sd15-vae", "models/configs/sd-v1-5", {1: "vae.decode"}, "sd15_vae", ("latent=float32:bx4x64x64",), 3, 3),
)}
DEFAULT = (("class-unet-32", 1), ("class-unet-32", 4), ("sd15-unet", 1), ("sd15-unet", 2), ("sd15-vae", 1), ("sd15-text", 1))
