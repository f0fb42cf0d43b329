"""Muon: momentum whose matrix is replaced by the nearest orthogonal one. Learns a small transformer in about half the steps."""

import torch


def orthogonal(g, steps=5):
    """Newton-Schulz iteration on a stack of matrices: all singular values towards 1."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.to(torch.bfloat16)
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        s = x @ x.mT
        x = a * x + (b * s + c * s @ s) @ x
    return (x.mT if tall else x).to(g.dtype)


class Muon(torch.optim.Optimizer):
    def __init__(self, params, lr=0.02, momentum=0.95, decay=0.1):
        super().__init__(params, dict(lr=lr, momentum=momentum, decay=decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            by_shape = {}                              # a small network is many small matrices: together they are few calls
            for p in group["params"]:
                if p.grad is not None:
                    by_shape.setdefault(p.shape, []).append(p)
            for params in by_shape.values():
                for p in params:
                    if "momentum" not in self.state[p]:
                        self.state[p]["momentum"] = torch.zeros_like(p)
                grads, moments = [p.grad for p in params], [self.state[p]["momentum"] for p in params]
                torch._foreach_mul_(moments, group["momentum"])
                torch._foreach_add_(moments, grads)
                updates = torch.stack(torch._foreach_add(grads, moments, alpha=group["momentum"])).flatten(2)
                rate = group["lr"] * max(1.0, updates.shape[1] / updates.shape[2]) ** 0.5
                updates = orthogonal(updates).view(len(params), *params[0].shape)
                torch._foreach_mul_(params, 1 - group["lr"] * group["decay"])   # keeps attention from hardening
                torch._foreach_add_(params, list(updates), alpha=-rate)
