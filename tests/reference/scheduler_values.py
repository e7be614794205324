"""Writes tests/unit/runtime/scheduler_values.h: what diffusers' schedulers make of a stand-in model, for settings that no golden
and no printed number of diffusers' tests covers. Made by hand with diffusers at commit 58eb52c and torch:

    python3 tests/reference/scheduler_values.py >tests/unit/runtime/scheduler_values.h

The noise of step k is ((7 k + 3 i) mod 11 - 5) / 4 for element i, the model's output 0.6 x + 0.3 sin(2 x + t / 300)."""

import importlib
import inspect
import re
import textwrap

import numpy as np
import torch

CLASSES = {
    "DDIM": ("ddim", "DDIMScheduler"),
    "DDPM": ("ddpm", "DDPMScheduler"),
    "EULER": ("euler_discrete", "EulerDiscreteScheduler"),
    "EULER_A": ("euler_ancestral_discrete", "EulerAncestralDiscreteScheduler"),
    "PNDM": ("pndm", "PNDMScheduler"),
    "HEUN": ("heun_discrete", "HeunDiscreteScheduler"),
    "LMS": ("lms_discrete", "LMSDiscreteScheduler"),
    "DPMPP_2M": ("dpmsolver_multistep", "DPMSolverMultistepScheduler"),
    "UNIPC": ("unipc_multistep", "UniPCMultistepScheduler"),
    "LCM": ("lcm", "LCMScheduler"),
    "FLOW_EULER": ("flow_match_euler_discrete", "FlowMatchEulerDiscreteScheduler"),
}
SAMPLE = torch.tensor([0.9, -0.4, 1.3, -2.1, 0.25, -0.7]).reshape(2, 3, 1, 1)
SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
evaluation = 0


def noise(shape, **_):
    values = [((evaluation * 7 + i * 3) % 11 - 5) / 4 for i in range(SAMPLE.numel())]
    return torch.tensor(values).reshape(shape)


def scheduler(name, config):
    module = importlib.import_module("diffusers.schedulers.scheduling_" + CLASSES[name][0])
    if hasattr(module, "randn_tensor"):
        module.randn_tensor = noise
    made = getattr(module, CLASSES[name][1])(**config)
    if hasattr(made, "_sigma_to_t") and name != "FLOW_EULER":  # in float64 with numpy 1, too, as numpy 2 does it by itself
        convert = made._sigma_to_t
        made._sigma_to_t = lambda sigma, logs: convert(np.array([sigma], np.float64), logs)[0]
    return made


def key(name, value):
    if isinstance(value, list):
        value = " ".join("%.9g" % np.float32(v) for v in value)
    return '"%s=%s"' % (name, int(value) if isinstance(value, bool) else value)


def row(name, steps, eta=0.0, **config):
    global evaluation
    s = scheduler(name, config)
    s.set_timesteps(steps)
    if hasattr(s, "set_begin_index"):  # two timesteps may be one after rounding
        s.set_begin_index(0)
    x = SAMPLE * float(getattr(s, "init_noise_sigma", 1))
    extra = {"eta": eta} if "eta" in inspect.signature(s.step).parameters else {}
    for evaluation, t in enumerate(s.timesteps):
        scaled = s.scale_model_input(x, t) if hasattr(s, "scale_model_input") else x
        out = 0.6 * scaled + 0.3 * torch.sin(2 * scaled + float(t) / 300)
        x = s.step(out, t, x, **extra).prev_sample
    keys = ["SD"] if config.items() >= SD.items() else []
    keys += [key(k, v) for k, v in config.items() if not (keys and k in SD)]
    numbers = [", ".join("%.9g" % float(v) for v in values) for values in (s.timesteps, x.flatten())]
    text = "{RT_SAMPLER_%s, %d, %g, {%s}, %d, {%s}, {%s}},"
    text %= (name, steps, eta, ", ".join(keys), len(s.timesteps), *numbers)
    whole = re.sub('"[^"]*"', lambda m: m.group().replace(" ", "\0"), text)  # no line ends inside a string
    lines = textwrap.fill(whole, 110, subsequent_indent=" ", break_long_words=False, break_on_hyphens=False)
    print(lines.replace("\0", " "))


def spacings():
    for name in ("DDIM", "DDPM", "EULER", "EULER_A", "PNDM", "HEUN", "LMS", "DPMPP_2M", "UNIPC"):
        for spacing in ("linspace", "leading", "trailing"):
            config = dict(SD, timestep_spacing=spacing)
            if spacing == "leading":
                config["steps_offset"] = 1
            if name == "PNDM":
                config["skip_prk_steps"] = True
            row(name, 4 if name == "HEUN" else 7, **config)


def predictions():
    for name in ("DDIM", "DDPM", "EULER", "HEUN", "LMS", "DPMPP_2M", "UNIPC", "LCM"):
        row(name, 4, **SD, prediction_type="sample")
    row("DDIM", 4, eta=1.0, **SD, prediction_type="sample")
    row("DDIM", 4, eta=0.5, **SD)


def zero_terminal_snr():
    for name in ("DDIM", "DDPM", "EULER", "EULER_A", "DPMPP_2M", "UNIPC"):
        row(name, 5, **SD, prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing")
    row("LCM", 4, **SD, prediction_type="v_prediction", rescale_betas_zero_snr=True)


def sigma_spacings():
    ends = {"sigma_min": 0.1, "sigma_max": 9.5}
    for name in ("EULER", "HEUN", "LMS", "DPMPP_2M", "UNIPC"):
        for spacing in ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"):
            row(name, 4 if name == "HEUN" else 5, **SD, **{spacing: True})
    row("DPMPP_2M", 5, **SD, use_lu_lambdas=True)
    for spacing in ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"):
        row("EULER", 5, **SD, **{spacing: True}, **ends)
    row("UNIPC", 5, **SD, use_karras_sigmas=True, **ends)
    row("UNIPC", 5, **SD, use_karras_sigmas=True, final_sigmas_type="sigma_min", **ends)
    row("DPMPP_2M", 5, beta_schedule="squaredcos_cap_v2", timestep_spacing="leading")
    row("EULER", 5, **SD, interpolation_type="log_linear")
    row("EULER", 5, **SD, interpolation_type="log_linear", use_karras_sigmas=True, final_sigmas_type="sigma_min")
    row("EULER", 5, **SD, final_sigmas_type="sigma_min")


def solvers():
    for algorithm in ("dpmsolver++", "dpmsolver", "sde-dpmsolver++", "sde-dpmsolver"):
        config = dict(SD, algorithm_type=algorithm)
        if not algorithm.endswith("++"):
            config["final_sigmas_type"] = "sigma_min"
        for prediction in ("epsilon", "sample", "v_prediction"):
            row("DPMPP_2M", 5, **config, prediction_type=prediction)
        row("DPMPP_2M", 5, **config, solver_type="heun")
    row("DPMPP_2M", 16, **SD, algorithm_type="sde-dpmsolver++")
    row("DPMPP_2M", 5, **SD, algorithm_type="sde-dpmsolver++", solver_order=1)
    row("DPMPP_2M", 5, **SD, euler_at_final=True, final_sigmas_type="sigma_min", lower_order_final=False)
    for algorithm in ("dpmsolver++", "dpmsolver", "sde-dpmsolver++"):
        row("DPMPP_2M", 6, **SD, algorithm_type=algorithm, final_sigmas_type="sigma_min", solver_order=3)
    row("DPMPP_2M", 16, **SD, solver_order=3)
    row("UNIPC", 5, **SD, solver_type="bh1", final_sigmas_type="sigma_min")  # at sigma 0 it gives NaN
    row("UNIPC", 5, **SD, solver_type="bh1", final_sigmas_type="sigma_min", solver_order=3)
    row("UNIPC", 5, **SD, solver_order=3, lower_order_final=False, final_sigmas_type="sigma_min")


def the_rest():
    limits = {"thresholding": True, "dynamic_thresholding_ratio": 0.7, "sample_max_value": 1.5}
    for name in ("DDIM", "DDPM", "DPMPP_2M", "UNIPC", "LCM"):
        row(name, 4, **SD, **limits)
    row("DPMPP_2M", 4, **SD, **limits, algorithm_type="dpmsolver", final_sigmas_type="sigma_min")
    row("DDPM", 5, **SD, variance_type="fixed_small_log")
    row("DDPM", 5, **SD, variance_type="fixed_large")
    betas = [round(0.02 + 0.01 * i, 4) for i in range(20)]
    for name in ("DDPM", "DPMPP_2M"):
        row(name, 4, num_train_timesteps=20, trained_betas=betas)
    row("DDIM", 5, beta_schedule="squaredcos_cap_v2", clip_sample=False)


def other_settings():
    row("UNIPC", 6, **SD, disable_corrector=[0, 2])
    row("UNIPC", 6, **SD, disable_corrector=[1, 3, 4], solver_order=3, solver_type="bh1", final_sigmas_type="sigma_min")
    row("UNIPC", 5, **SD, predict_x0=False, prediction_type="v_prediction", final_sigmas_type="sigma_min")
    row("UNIPC", 5, **SD, predict_x0=False, prediction_type="sample", solver_order=3, solver_type="bh1", final_sigmas_type="sigma_min")
    row("UNIPC", 5, use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=3.0)
    row("UNIPC", 5, use_flow_sigmas=True, prediction_type="flow_prediction", shift_terminal=0.1, final_sigmas_type="sigma_min")
    row("UNIPC", 5, use_flow_sigmas=True, prediction_type="flow_prediction", use_karras_sigmas=True)
    row("DPMPP_2M", 5, use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=3.0)
    row("DPMPP_2M", 5, use_flow_sigmas=True, prediction_type="flow_prediction", algorithm_type="sde-dpmsolver++")
    for sp in ("linspace", "leading", "trailing"):
        row("DPMPP_2M", 5, beta_schedule="squaredcos_cap_v2", lambda_min_clipped=-5.1, timestep_spacing=sp)
    row("DPMPP_2M", 10, **SD, lambda_min_clipped=-1.0, timestep_spacing="trailing")
    row("DPMPP_2M", 5, **SD, lambda_min_clipped=-1.0, use_karras_sigmas=True)
    row("EULER", 5, **SD, timestep_type="continuous", prediction_type="v_prediction", timestep_spacing="trailing")
    row("EULER", 5, **SD, timestep_type="continuous")
    row("DDPM", 5, beta_schedule="sigmoid", beta_end=0.01)
    row("DDPM", 5, beta_schedule="laplace")
    row("HEUN", 3, beta_schedule="exp", timestep_spacing="trailing")
    row("HEUN", 3, beta_schedule="squaredcos_cap_v2", timestep_spacing="trailing")
    row("FLOW_EULER", 5, shift=3.0)
    row("FLOW_EULER", 5, use_exponential_sigmas=True)
    row("FLOW_EULER", 5, use_beta_sigmas=True, shift=2.0)
    row("FLOW_EULER", 5, use_karras_sigmas=True, shift_terminal=0.1)
    row("FLOW_EULER", 5, shift_terminal=0.25, shift=3.0)
    row("FLOW_EULER", 5, invert_sigmas=True, shift=2.0)
    row("FLOW_EULER", 5, stochastic_sampling=True)
    row("FLOW_EULER", 1, use_karras_sigmas=True)


print("/* Made by tests/reference/scheduler_values.py: sampler, steps, eta, settings, evaluations, their timesteps,")
print(" * the sample after the last one. */")
for part in (spacings, predictions, zero_terminal_snr, sigma_spacings, solvers, the_rest, other_settings):
    print("/* %s */" % part.__name__.replace("_", " "))
    part()
