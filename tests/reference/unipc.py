"""UniPCMultistepScheduler: B2(h), order 2, predicting the clean sample; predictor and corrector share the outputs so far."""
import numpy as np
import torch

from schedulers import CLASSES, DPMSolverMultistep


class UniPC(DPMSolverMultistep):
    defaults = dict(DPMSolverMultistep.defaults)

    def set_timesteps(self, n):
        super().set_timesteps(n)
        self.previous, self.order_before, self.seen = None, 1, 0

    def _lambda(self, k):
        alpha, sigma = self._alpha_sigma(k)
        return torch.log(alpha) - torch.log(sigma)

    def _series(self, ratios, h):
        """(expm1(-h), the right-hand sides b and the matrix R) of the order conditions."""
        hh = -h
        first = torch.expm1(hh)
        phi, factorial, b, rows = first / hh - 1, 1, [], []
        for i in range(1, len(ratios) + 1):
            rows.append(torch.stack(ratios) ** (i - 1))
            b.append(phi * factorial / first)
            factorial *= i + 1
            phi = phi / hh - 1 / factorial
        return first, torch.stack(b), torch.stack(rows)

    def _update(self, x, begin, end, order, newest=None):
        """x at sigma `begin` to sigma `end`; newest: the clean sample there, for the corrector."""
        h = self._lambda(end) - self._lambda(begin)
        m0 = self.cleans[-1]
        ratios, differences = [], []
        for i in range(1, order):
            r = (self._lambda(begin - i) - self._lambda(begin)) / h
            ratios.append(r)
            differences.append((self.cleans[-1 - i] - m0) / r)
        first, b, rows = self._series(ratios + [torch.tensor(1.0)], h)
        if newest is None:
            weights = [0.5] if order == 2 else torch.linalg.solve(rows[:-1, :-1], b[:-1]) if order > 2 else []
        else:
            weights = [0.5] if order == 1 else torch.linalg.solve(rows, b)
            differences.append(newest - m0)
        (alpha, sigma), (_, sigma_begin) = self._alpha_sigma(end), self._alpha_sigma(begin)
        total = sum(w * d for w, d in zip(weights, differences))
        return sigma / sigma_begin * x - alpha * first * m0 - alpha * first * total

    def step(self, k, x, out, draw):
        alpha, sigma = self._alpha_sigma(k)
        kind = self.c["prediction_type"]
        clean = (x - sigma * out) / alpha if kind == "epsilon" else alpha * x - sigma * out if kind == "v_prediction" else out
        if self.previous is not None:
            x = self._update(self.previous, k - 1, k, self.order_before, clean)
        self.cleans = self.cleans[-1:] + [clean]
        order = min(self.c["solver_order"], len(self.timesteps) - k) if self.c["lower_order_final"] else self.c["solver_order"]
        self.order_before = min(order, self.seen + 1)
        self.previous, self.seen = x, min(self.seen + 1, self.c["solver_order"])
        return self._update(x, k, k + 1, self.order_before)


CLASSES["UniPCMultistepScheduler"] = UniPC
