"""Samplers that diffusers lacks, written out from their papers (or from k-diffusion's formulas) in f64.

Each takes `denoise(x, sigma, between)` (the clean sample, and the one without guidance; `between` the given sigmas), falling sigmas that end at zero, and
`draw()` for unit-variance noise, and yields the sample after every evaluation of the model.
"""

import math

import numpy as np


def _exponential(x, denoised, sigma, target):
    """The exact step for a denoised sample that stays as it is."""
    return target / sigma * x + (1 - target / sigma) * denoised


def _ancestral(sigma, target):
    up = min(target, math.sqrt(target**2 * (sigma**2 - target**2) / sigma**2))
    return math.sqrt(target**2 - up**2), up


def lms(denoise, x, sigmas, draw):
    """Adams-Bashforth over unequal steps, order 4 (the integrals by numpy's polynomials)."""
    slopes = []
    for i in range(len(sigmas) - 1):
        denoised, _ = denoise(x, sigmas[i])
        slopes = ([(x - denoised) / sigmas[i]] + slopes)[:4]
        nodes = [sigmas[i - k] for k in range(len(slopes))]
        for k, slope in enumerate(slopes):
            others = [node for j, node in enumerate(nodes) if j != k]
            poly = np.poly1d(others, r=True) if others else np.poly1d([1.0])
            integral = np.polyint(poly)
            weight = (integral(sigmas[i + 1]) - integral(sigmas[i])) / np.prod([nodes[k] - node for node in others])
            x = x + weight * slope
        yield x


def dpmpp_2s_ancestral(denoise, x, sigmas, draw):
    """DPM-Solver++(2S) steps beyond the target, and noise back up to it."""
    for sigma, target in zip(sigmas, sigmas[1:]):
        denoised, _ = denoise(x, sigma)
        if target == 0:
            x = denoised
            yield x
            return
        down, up = _ancestral(sigma, target)
        middle = math.exp(0.5 * (math.log(sigma) + math.log(down)))
        inner = _exponential(x, denoised, sigma, middle)
        yield inner
        denoised, _ = denoise(inner, middle, between=True)
        x = _exponential(x, denoised, sigma, down) + up * draw()
        yield x


def dpmpp_3m_sde(denoise, x, sigmas, draw):
    """DPM-Solver++(3M) SDE with eta 1."""
    history, steps = [], []
    for sigma, target in zip(sigmas, sigmas[1:]):
        denoised, _ = denoise(x, sigma)
        if target == 0:
            yield denoised
            return
        h = math.log(sigma / target)
        h_eta = 2 * h
        x = math.exp(-h_eta) * x - math.expm1(-h_eta) * denoised
        phi_2 = math.expm1(-h_eta) / h_eta + 1
        phi_3 = phi_2 / h_eta - 0.5
        if len(history) >= 2:
            r0, r1 = steps[0] / h, steps[1] / h
            late, early = (denoised - history[0]) / r0, (history[0] - history[1]) / r1
            d1 = late + (late - early) * r0 / (r0 + r1)
            d2 = (late - early) / (r0 + r1)
            x = x + phi_2 * d1 - phi_3 * d2
        elif history:
            x = x + phi_2 * (denoised - history[0]) / (steps[0] / h)
        x = x + draw() * target * math.sqrt(-math.expm1(-2 * h))
        history, steps = [denoised, *history], [h, *steps]
        yield x


def euler_cfg_pp(denoise, x, sigmas, draw):
    """Algorithm 1 of CFG++ in terms of sigmas."""
    for sigma, target in zip(sigmas, sigmas[1:]):
        denoised, unguided = denoise(x, sigma)
        x = denoised + target * (x - unguided) / sigma
        yield x


def dpmpp_2m_cfg_pp(denoise, x, sigmas, draw):
    """DPM++ 2M with the noise of the prediction without guidance."""
    before, last = None, None
    for sigma, target in zip(sigmas, sigmas[1:]):
        denoised, unguided = denoise(x, sigma)
        decay = target / sigma
        mix = -decay * unguided
        if before is not None and target > 0:
            r = last / math.log(sigma / target)
            mix = mix + (1 - decay) / (2 * r) * (denoised - before)
        x = denoised + mix + decay * x
        before, last = unguided, math.log(sigma / target) if target > 0 else None
        yield x


def _karras(low, high, count):
    ramp = np.linspace(0, 1, count)
    return (high ** (1 / 7) + ramp * (low ** (1 / 7) - high ** (1 / 7))) ** 7


def restart_steps(sigmas, steps, times):
    """Pairs of sigmas: those of the ladder, and after the one nearest to 0.1 rounds from the one nearest to 2."""
    pairs = []
    low = int(np.argmin(np.abs(np.array(sigmas) - 0.1)))
    for i in range(len(sigmas) - 1):
        pairs.append((sigmas[i], sigmas[i + 1]))
        if times and i + 1 == low:
            high = int(np.argmin(np.abs(np.array(sigmas) - 2.0)))
            again = _karras(sigmas[low], sigmas[high], steps + 1)
            # To the last bit, or rounding would make a restart of its own.
            again[0], again[-1] = sigmas[high], sigmas[low]
            pairs += list(zip(again[:-1], again[1:])) * times
    return pairs


def restart(denoise, x, pairs, draw):
    """Heun steps over pairs of sigmas, with noise where a pair begins above the end of the one before."""
    for i, (sigma, target) in enumerate(pairs):
        denoised, _ = denoise(x, sigma)
        slope = (x - denoised) / sigma
        after = pairs[i + 1][0] if i + 1 < len(pairs) else target
        noise = (lambda: math.sqrt(after**2 - target**2) * draw()) if after > target else (lambda: 0.0)
        if target == 0:
            x = x + slope * (target - sigma) + noise()
            yield x
            continue
        inner = x + slope * (target - sigma)
        yield inner
        denoised, _ = denoise(inner, target)
        x = x + (target - sigma) * (slope + (inner - denoised) / target) / 2 + noise()
        yield x


SAMPLERS = {
    "LMSDiscreteScheduler": lms,
    "RestartScheduler": restart,
    "DPMPP2SAncestralScheduler": dpmpp_2s_ancestral,
    "DPMPP3MSDEScheduler": dpmpp_3m_sde,
    "EulerCFGPPScheduler": euler_cfg_pp,
    "DPMPP2MCFGPPScheduler": dpmpp_2m_cfg_pp,
}
