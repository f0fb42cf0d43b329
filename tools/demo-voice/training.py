"""What the three trainings share: options, the clock that rules the learning rate, checkpoints, the log."""

import argparse
import os
import time

import numpy as np
import torch


def options(doc, batch):
    a = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("data", nargs="+")
    a.add_argument("--out", required=True, help="checkpoint; training goes on from it")
    a.add_argument("--minutes", type=float, required=True, help="of training in all")
    a.add_argument("--batch", type=int, default=batch)
    a.add_argument("--device", default="cpu")
    a = a.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 1)))
    return a


class Run:
    """One training: tensors by name, their optimisers, and how far it is. A checkpoint is written every minute."""

    def __init__(self, options, weights, optimisers):
        self.options, self.weights, self.optimisers = options, weights, optimisers
        self.rates = [g["lr"] for o in optimisers for g in o.param_groups]
        self.step, spent = 0, 0.0
        if os.path.exists(options.out):
            state = torch.load(options.out, map_location=options.device)
            for n in weights:
                weights[n].data.copy_(state["weights"][n])
            for o, s in zip(optimisers, state["optimisers"]):
                o.load_state_dict(s)
            self.step, spent = state["step"], state["minutes"]
        self.start, self.saved = time.time() - 60 * spent, time.time()
        self.sums, self.n_sums = {}, 0
        self.rng = np.random.default_rng(self.step)
        print(f"{sum(p.numel() for p in weights.values()) / 1e6:.2f} M weights, from step {self.step}", flush=True)

    def minutes(self):
        return (time.time() - self.start) / 60

    def shares(self):
        """Yield the share of the time that is spent, once a step, with the learning rates set: a short rise, then level, then
        down to nearly nothing."""
        while (share := self.minutes() / self.options.minutes) < 1:
            scale = min(1.0, (self.step + 1) / 60) * min(1.0, 0.03 + (1 - share) / 0.6)
            for g, rate in zip((g for o in self.optimisers for g in o.param_groups), self.rates):
                g["lr"] = rate * scale
            yield share
        self.save()

    def learn(self, loss, clipped, limit, **figures):
        """One step down the gradient. `figures` are averaged for the log."""
        loss.backward()
        torch.nn.utils.clip_grad_norm_(clipped, limit)
        for o in self.optimisers:
            o.step()
            o.zero_grad(set_to_none=True)
        self.step, self.n_sums = self.step + 1, self.n_sums + 1
        for name, value in figures.items():
            total, n = self.sums.get(name, (0.0, 0))
            self.sums[name] = total + (value.item() if torch.is_tensor(value) else value), n + 1
        if self.n_sums == 20:
            means = "  ".join(f"{name} {total / n:.3f}" for name, (total, n) in self.sums.items())
            print(f"{self.step}  {self.minutes():.1f} min  {means}", flush=True)
            self.sums, self.n_sums = {}, 0
        if time.time() - self.saved > 60:
            self.save()

    def save(self):
        state = dict(weights={n: p.detach() for n, p in self.weights.items()}, step=self.step, minutes=self.minutes(),
                     optimisers=[o.state_dict() for o in self.optimisers])
        torch.save(state, self.options.out + ".tmp")
        os.replace(self.options.out + ".tmp", self.options.out)
        self.saved = time.time()
