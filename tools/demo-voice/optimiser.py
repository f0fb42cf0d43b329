"""Muon: momentum whose matrix is replaced by the nearest orthogonal one. Learns a small transformer in about half the steps."""

import torch


def orthogonal(g, steps=5):
    """Newton-Schulz iteration: all singular values towards 1."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.to(torch.bfloat16)
    tall = x.shape[0] > x.shape[1]
    x = x.t() if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        s = x @ x.t()
        x = a * x + (b * s + c * s @ s) @ x
    return (x.t() if tall else x).to(g.dtype)


class Muon(torch.optim.Optimizer):
    def __init__(self, params, lr=0.02, momentum=0.95, decay=0.1):
        super().__init__(params, dict(lr=lr, momentum=momentum, decay=decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(p)
                m = state["momentum"]
                m.mul_(group["momentum"]).add_(p.grad)
                update = orthogonal((p.grad + group["momentum"] * m).flatten(1))
                p.mul_(1 - group["lr"] * group["decay"])        # keeps attention from hardening
                p.add_(update.view_as(p), alpha=-group["lr"] * max(1.0, update.shape[0] / update.shape[1]) ** 0.5)
