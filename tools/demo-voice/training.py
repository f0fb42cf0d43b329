"""What the three trainings share: options, the clock that rules the learning rate, checkpoints, the log."""

import argparse
import os
import time

import numpy as np
import torch

LOGGED_EVERY, SAVED_EVERY = 15, 30                     # seconds


def options(doc, batch):
    a = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("data", nargs="+")
    a.add_argument("--out", required=True, help="checkpoint; training goes on from it")
    a.add_argument("--minutes", type=float, required=True, help="of training in all")
    a.add_argument("--batch", type=int, default=batch)
    a.add_argument("--device", default="cpu")
    a = a.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 1)))
    torch.backends.cudnn.benchmark = True
    return a


class Run:
    """One training: tensors by name, their optimisers, and how far it is. Checkpoints are written as it goes: the
    weights, and beside them what only going on needs. `validate`, called for every line of the log, gives figures."""

    def __init__(self, options, weights, optimisers):
        self.options, self.weights, self.optimisers = options, weights, optimisers
        self.validate = dict
        self.rates = [g["lr"] for o in optimisers for g in o.param_groups]
        self.step, spent = 0, 0.0
        if os.path.exists(options.out):
            state = torch.load(options.out, map_location=options.device)
            for n in weights:
                weights[n].data.copy_(state["weights"][n])
            for o, s in zip(optimisers, torch.load(options.out + ".optimisers", map_location=options.device)):
                o.load_state_dict(s)
            self.step, spent = state["step"], state["minutes"]
        self.start, self.saved, self.logged = time.time() - 60 * spent, time.time(), time.time()
        self.sums = {}
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
        self.step += 1
        for name, value in figures.items():            # on the device until they are printed: it works ahead
            total, n = self.sums.get(name, (0.0, 0))
            self.sums[name] = total + (value.detach() if torch.is_tensor(value) else value), n + 1
        if time.time() - self.logged > LOGGED_EVERY:
            self.log()
        if time.time() - self.saved > SAVED_EVERY:
            self.save()

    def log(self):
        with torch.no_grad():
            means = {name: total / n for name, (total, n) in self.sums.items()} | self.validate()
        print(f"{self.step}  {self.minutes():.2f} min  " + "  ".join(f"{n} {float(x):.3f}" for n, x in means.items()), flush=True)
        self.sums, self.logged = {}, time.time()

    def save(self):
        if not all(bool(p.isfinite().all()) for p in self.weights.values()):
            raise SystemExit(f"step {self.step}: weights are no longer finite; {self.options.out} is from before")
        state = dict(weights={n: p.detach() for n, p in self.weights.items()}, step=self.step, minutes=self.minutes())
        for suffix, x in ((".optimisers", [o.state_dict() for o in self.optimisers]), ("", state)):
            torch.save(x, self.options.out + ".tmp")
            os.replace(self.options.out + ".tmp", self.options.out + suffix)
        self.saved = time.time()
