"""diffusers' schedulers for pictures. A scheduler has

  timesteps            what the model is given, one an evaluation
  init_noise_sigma     factor of the first noise
  scale(k, x)          the model's input at evaluation k
  step(k, x, out, draw)  the sample after evaluation k; draw() gives noise of x's shape, called as often as diffusers calls it
  add_noise(k, clean, noise)  clean noised to the level at which evaluation k begins
  begin(strength)      first evaluation of image-to-image
"""
import math

import numpy as np
import torch

TABLE_DEFAULTS = {"num_train_timesteps": 1000, "beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear",
                  "prediction_type": "epsilon", "steps_offset": 0}


def betas_of(c):
    n, schedule = c["num_train_timesteps"], c["beta_schedule"]
    if c.get("trained_betas") is not None:
        return torch.tensor(c["trained_betas"], dtype=torch.float32)
    if schedule == "linear":
        return torch.linspace(c["beta_start"], c["beta_end"], n, dtype=torch.float32)
    if schedule == "scaled_linear":
        return torch.linspace(c["beta_start"] ** 0.5, c["beta_end"] ** 0.5, n, dtype=torch.float32) ** 2
    if schedule == "squaredcos_cap_v2":
        bar = lambda t: math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2
        return torch.tensor([min(1 - bar((i + 1) / n) / bar(i / n), 0.999) for i in range(n)], dtype=torch.float32)
    raise NotImplementedError(schedule)


def zero_terminal_snr(betas):
    root = torch.cumprod(1 - betas, 0).sqrt()
    first, last = root[0].clone(), root[-1].clone()
    root = (root - last) * (first / (first - last))
    bar = root ** 2
    return 1 - torch.cat([bar[:1], bar[1:] / bar[:-1]])


class Scheduler:
    defaults = {}
    order = 1
    init_noise_sigma = 1.0

    def __init__(self, config, steps):
        self.c = dict(TABLE_DEFAULTS, **self.defaults)
        self.c.update({k: v for k, v in config.items() if not k.startswith("_")})
        betas = betas_of(self.c)
        if self.c.get("rescale_betas_zero_snr"):
            betas = zero_terminal_snr(betas)
        self.betas, self.bars = betas, torch.cumprod(1 - betas, 0)
        self.T, self.steps = self.c["num_train_timesteps"], steps
        self.set_timesteps(steps)

    def spaced(self, n):
        """The n timesteps of the config's spacing, falling; float64, rounded only where diffusers rounds."""
        kind, T = self.c.get("timestep_spacing", "leading"), self.T
        if kind == "linspace":
            return np.linspace(0, T - 1, n)[::-1].copy()
        if kind == "leading":
            return (np.arange(n) * (T // n)).round()[::-1].astype(np.float64) + self.c["steps_offset"]
        if kind == "trailing":
            return np.round(np.arange(T, 0, -T / n)) - 1
        raise NotImplementedError(kind)

    def scale(self, k, x):
        return x

    def begin(self, strength):
        return max(self.steps - min(int(self.steps * strength), self.steps), 0) * self.order

    def add_noise(self, k, clean, noise):
        bar = self.bars[int(self.timesteps[k])]
        return bar.sqrt() * clean + (1 - bar).sqrt() * noise

    def clean_and_noise(self, x, out, bar):
        """(x0, epsilon) of a model output."""
        a, b, kind = bar.sqrt(), (1 - bar).sqrt(), self.c["prediction_type"]
        if kind == "epsilon":
            return (x - b * out) / a, out
        if kind == "v_prediction":
            return a * x - b * out, a * out + b * x
        return out, (x - a * out) / b


class DDIM(Scheduler):
    defaults = {"clip_sample": True, "clip_sample_range": 1.0, "set_alpha_to_one": True, "timestep_spacing": "leading"}

    def set_timesteps(self, n):
        self.timesteps = self.spaced(n).round().astype(np.int64)
        self.final = torch.tensor(1.0) if self.c["set_alpha_to_one"] else self.bars[0]

    def step(self, k, x, out, draw, eta=0.0):
        t = self.timesteps[k]
        prev = t - self.T // self.steps
        bar, bar_prev = self.bars[t], self.bars[prev] if prev >= 0 else self.final
        x0, e = self.clean_and_noise(x, out, bar)
        if self.c["clip_sample"]:
            x0 = x0.clamp(-self.c["clip_sample_range"], self.c["clip_sample_range"])
        sigma = eta * ((1 - bar_prev) / (1 - bar) * (1 - bar / bar_prev)).sqrt()
        x = bar_prev.sqrt() * x0 + (1 - bar_prev - sigma ** 2).sqrt() * e
        return x + sigma * draw() if eta > 0 else x


class DDPM(Scheduler):
    defaults = {"clip_sample": True, "clip_sample_range": 1.0, "variance_type": "fixed_small", "timestep_spacing": "leading"}

    def set_timesteps(self, n):
        self.timesteps = self.spaced(n).round().astype(np.int64)

    def step(self, k, x, out, draw):
        t = self.timesteps[k]
        bar = self.bars[t]
        bar_prev = self.bars[self.timesteps[k + 1]] if k + 1 < len(self.timesteps) else torch.tensor(1.0)
        alpha = bar / bar_prev
        beta = 1 - alpha
        x0, _ = self.clean_and_noise(x, out, bar)
        if self.c["clip_sample"]:
            x0 = x0.clamp(-self.c["clip_sample_range"], self.c["clip_sample_range"])
        mean = bar_prev.sqrt() * beta / (1 - bar) * x0 + alpha.sqrt() * (1 - bar_prev) / (1 - bar) * x
        if t <= 0:
            return mean
        variance = {"fixed_small": ((1 - bar_prev) / (1 - bar) * beta).clamp(min=1e-20), "fixed_large": beta}
        return mean + variance[self.c["variance_type"]].sqrt() * draw()


class PNDM(Scheduler):
    """Without the Runge-Kutta steps. The counter counts calls, wherever in the list they begin."""
    defaults = {"set_alpha_to_one": False, "skip_prk_steps": False, "timestep_spacing": "leading"}

    def set_timesteps(self, n):
        if not self.c["skip_prk_steps"]:
            raise NotImplementedError("Runge-Kutta steps of PNDM")
        t = self.spaced(n).round().astype(np.int64)
        self.timesteps = np.concatenate([t[:2], t[1:]])  # the second one twice
        self.final = torch.tensor(1.0) if self.c["set_alpha_to_one"] else self.bars[0]
        self.calls, self.history = 0, []

    def step(self, k, x, out, draw):
        t = int(self.timesteps[k])
        prev = t - self.T // self.steps
        if self.calls != 1:
            self.history = self.history[-3:] + [out]
        else:  # the same step once more, from where the first one began
            prev, t = t, t + self.T // self.steps
        h = self.history
        if len(h) == 1 and self.calls == 0:
            e, self.kept = out, x
        elif len(h) == 1:
            e, x = (out + h[-1]) / 2, self.kept
        elif len(h) == 2:
            e = (3 * h[-1] - h[-2]) / 2
        elif len(h) == 3:
            e = (23 * h[-1] - 16 * h[-2] + 5 * h[-3]) / 12
        else:
            e = (55 * h[-1] - 59 * h[-2] + 37 * h[-3] - 9 * h[-4]) / 24
        self.calls += 1
        bar, bar_prev = self.bars[t], self.bars[prev] if prev >= 0 else self.final
        if self.c["prediction_type"] == "v_prediction":
            e = bar.sqrt() * e + (1 - bar).sqrt() * x
        below = bar * (1 - bar_prev).sqrt() + (bar * (1 - bar) * bar_prev).sqrt()
        return (bar_prev / bar).sqrt() * x - (bar_prev - bar) * e / below


class LCM(Scheduler):
    defaults = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "original_inference_steps": 50,
                "timestep_scaling": 10.0, "set_alpha_to_one": True, "clip_sample": False, "clip_sample_range": 1.0}

    def set_timesteps(self, n, strength=1.0):
        original = self.c["original_inference_steps"]
        table = (np.arange(1, int(original * strength) + 1) * (self.T // original) - 1)[::-1]
        self.timesteps = table[np.floor(np.linspace(0, len(table), n, endpoint=False)).astype(np.int64)]
        self.final = torch.tensor(1.0) if self.c["set_alpha_to_one"] else self.bars[0]

    def step(self, k, x, out, draw):
        t, last = self.timesteps[k], k + 1 == len(self.timesteps)
        s = t * self.c["timestep_scaling"]
        skip, keep = 0.25 / (s ** 2 + 0.25), s / (s ** 2 + 0.25) ** 0.5
        x0, _ = self.clean_and_noise(x, out, self.bars[t])
        if self.c["clip_sample"]:
            x0 = x0.clamp(-self.c["clip_sample_range"], self.c["clip_sample_range"])
        x = keep * x0 + skip * x
        if last:
            return x
        bar = self.bars[self.timesteps[k + 1]]
        return bar.sqrt() * x + (1 - bar).sqrt() * draw()


# ---- samplers on the sigma scale ----

def to_timestep(sigma, log_table):
    """The (fractional) timestep of a sigma, interpolated in log sigma."""
    log_sigma = np.log(np.maximum(sigma, 1e-10))
    low = int(np.clip(np.searchsorted(log_table, log_sigma, side="right") - 1, 0, len(log_table) - 2))
    w = np.clip((log_table[low] - log_sigma) / (log_table[low] - log_table[low + 1]), 0, 1)
    return (1 - w) * low + w * (low + 1)


def karras(high, low, n):
    ramp = np.linspace(0, 1, n)
    return (high ** (1 / 7) + ramp * (low ** (1 / 7) - high ** (1 / 7))) ** 7


class Euler(Scheduler):
    defaults = {"timestep_spacing": "linspace", "use_karras_sigmas": False}

    def set_timesteps(self, n):
        bars = self.bars.numpy().copy()
        if self.c.get("rescale_betas_zero_snr"):
            bars[-1] = 2.0 ** -24
        table = ((1 - bars) / bars) ** 0.5
        t = self.spaced(n).astype(np.float32)
        sigmas = np.interp(t, np.arange(len(table)), table)
        if self.c["use_karras_sigmas"]:
            sigmas = karras(sigmas[0], sigmas[-1], n)
            t = np.array([to_timestep(s, np.log(table)) for s in sigmas])
        self.timesteps = t.astype(np.float32)
        self.sigmas = torch.from_numpy(np.append(sigmas, 0.0).astype(np.float32))
        high = float(self.sigmas.max())
        self.init_noise_sigma = high if self.c["timestep_spacing"] in ("linspace", "trailing") else (high ** 2 + 1) ** 0.5
        self.prepare()

    def prepare(self):
        pass

    def scale(self, k, x):
        return x / (self.sigmas[k] ** 2 + 1) ** 0.5

    def add_noise(self, k, clean, noise):
        return clean + noise * self.sigmas[k]

    def clean(self, x, out, sigma):
        kind = self.c["prediction_type"]
        if kind == "epsilon":
            return x - sigma * out
        if kind == "v_prediction":
            return out * (-sigma / (sigma ** 2 + 1) ** 0.5) + x / (sigma ** 2 + 1)
        return out

    def step(self, k, x, out, draw):
        s, after = self.sigmas[k], self.sigmas[k + 1]
        return x + (x - self.clean(x, out, s)) / s * (after - s)


class EulerAncestral(Euler):
    def step(self, k, x, out, draw):
        s, after = self.sigmas[k], self.sigmas[k + 1]
        up = (after ** 2 * (s ** 2 - after ** 2) / s ** 2) ** 0.5
        down = (after ** 2 - up ** 2) ** 0.5
        x = x + (x - self.clean(x, out, s)) / s * (down - s)
        return x + draw() * up


class Heun(Euler):
    order = 2

    def prepare(self):
        s, t = self.sigmas, self.timesteps
        self.sigmas = torch.cat([s[:1], s[1:-1].repeat_interleave(2), s[-1:]])
        self.timesteps = np.concatenate([t[:1], np.repeat(t[1:], 2)])
        self.slope = None

    def step(self, k, x, out, draw):
        if self.slope is None:
            s, after = self.sigmas[k], self.sigmas[k + 1]
            slope = (x - self.clean(x, out, s)) / s
            if after > 0:
                self.slope, self.kept = slope, x
            return x + slope * (after - s)
        s, after = self.sigmas[k - 1], self.sigmas[k]
        slope = (self.slope + (x - self.clean(x, out, after)) / after) / 2
        x, self.slope = self.kept + slope * (after - s), None
        return x


class LMS(Euler):
    def prepare(self):
        self.slopes = []

    def step(self, k, x, out, draw):
        s = self.sigmas.double().numpy()
        self.slopes = self.slopes[-3:] + [(x - self.clean(x, out, self.sigmas[k])) / self.sigmas[k]]
        n = min(k + 1, 4)  # also when the loop began in the middle: then some of the slopes are missing
        for j in range(len(self.slopes)):  # integral of the Lagrange polynomial of slope k - j
            p = np.poly1d([1.0])
            for i in range(n):
                if i != j:
                    p = p * np.poly1d([1.0, -s[k - i]]) / (s[k - j] - s[k - i])
            p = p.integ()
            x = x + float(p(s[k + 1]) - p(s[k])) * self.slopes[-1 - j]
        return x


class DPMSolverMultistep(Scheduler):
    """DPM-Solver++ (2M), midpoint."""
    defaults = {"timestep_spacing": "linspace", "solver_order": 2, "lower_order_final": True, "euler_at_final": False,
                "final_sigmas_type": "zero", "use_karras_sigmas": False}

    def set_timesteps(self, n):
        table = (((1 - self.bars) / self.bars) ** 0.5).numpy()
        kind, T = self.c["timestep_spacing"], self.T
        if kind == "linspace":
            t = np.linspace(0, T - 1, n + 1).round()[::-1][:-1]
        elif kind == "leading":
            t = (np.arange(n + 1) * (T // (n + 1))).round()[::-1][:-1] + self.c["steps_offset"]
        else:
            t = self.spaced(n)
        if self.c["use_karras_sigmas"]:
            sigmas = karras(table[-1], table[0], n)
            t = np.array([to_timestep(s, np.log(table)) for s in sigmas]).round()
        else:
            sigmas = np.interp(t, np.arange(len(table)), table)
        last = 0.0 if self.c["final_sigmas_type"] == "zero" else float(table[0])
        self.timesteps = t.astype(np.int64)
        self.sigmas = torch.from_numpy(np.append(sigmas, last).astype(np.float32))
        self.cleans = []

    def _alpha_sigma(self, k):
        alpha = 1 / (self.sigmas[k] ** 2 + 1) ** 0.5
        return alpha, self.sigmas[k] * alpha

    def add_noise(self, k, clean, noise):
        alpha, sigma = self._alpha_sigma(k)
        return alpha * clean + sigma * noise

    def step(self, k, x, out, draw):
        (a_s, s_s), (a_t, s_t) = self._alpha_sigma(k), self._alpha_sigma(k + 1)
        kind = self.c["prediction_type"]
        x0 = (x - s_s * out) / a_s if kind == "epsilon" else a_s * x - s_s * out if kind == "v_prediction" else out
        self.cleans = self.cleans[-1:] + [x0]
        n = len(self.timesteps)
        few = self.c["lower_order_final"] and n < 15
        final = k == n - 1 and (self.c["euler_at_final"] or few or self.c["final_sigmas_type"] == "zero")
        lam = lambda a, s: torch.log(a) - torch.log(s)
        h = lam(a_t, s_t) - lam(a_s, s_s)
        step = -a_t * (torch.exp(-h) - 1.0)
        x = s_t / s_s * x + step * x0
        if self.c["solver_order"] > 1 and len(self.cleans) > 1 and not final:
            h0 = lam(a_s, s_s) - lam(*self._alpha_sigma(k - 1))
            x = x + 0.5 * step * (x0 - self.cleans[-2]) * (h / h0)
        return x


class FlowMatchEuler(Scheduler):
    """The model gives noise - data."""
    defaults = {"shift": 1.0}

    def set_timesteps(self, n):
        shifted = lambda s: self.c["shift"] * s / (1 + (self.c["shift"] - 1) * s)
        sigmas = shifted(np.linspace(shifted(1.0), shifted(1.0 / self.T), n))
        self.timesteps = (sigmas * self.T).astype(np.float32)
        self.sigmas = torch.from_numpy(np.append(sigmas, 0.0).astype(np.float32))

    def add_noise(self, k, clean, noise):
        return self.sigmas[k] * noise + (1 - self.sigmas[k]) * clean

    def step(self, k, x, out, draw):
        return x + (self.sigmas[k + 1] - self.sigmas[k]) * out


class Flow(Scheduler):
    """x_s = (1 - s) noise + s data, s evenly from 0 to 1; the model gives data - noise at t = T (1 - s)."""

    def set_timesteps(self, n):
        self.timesteps = np.array([self.T * (1 - k / n) for k in range(n)], np.float32)

    def add_noise(self, k, clean, noise):
        s = k / self.steps
        return (1 - s) * noise + s * clean

    def step(self, k, x, out, draw):
        return x + out / self.steps


CLASSES = {
    "DDIMScheduler": DDIM, "DDPMScheduler": DDPM, "PNDMScheduler": PNDM, "LCMScheduler": LCM, "EulerDiscreteScheduler": Euler,
    "EulerAncestralDiscreteScheduler": EulerAncestral, "HeunDiscreteScheduler": Heun, "LMSDiscreteScheduler": LMS,
    "DPMSolverMultistepScheduler": DPMSolverMultistep, "FlowMatchEulerDiscreteScheduler": FlowMatchEuler,
}


def make(config, steps, class_name=None):
    """The scheduler of a scheduler_config.json; class_name: another class with the same keys."""
    return CLASSES[class_name or config["_class_name"]](config, steps)
