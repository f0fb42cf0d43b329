"""An environment of the test's own in the build folder, with packages from the index. Where that cannot be reached
the test is skipped, and says so."""
import os
import subprocess
import sys

SKIPPED = 77


def attempt(*command, seconds=200):
    """None when it was done, else what it said."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds)
    except subprocess.TimeoutExpired:
        return f"took longer than {seconds} s"
    return None if done.returncode == 0 else done.stdout.decode()[-2000:]


def skip(what, why):
    print(f"SKIPPED: {what}: {why.strip().splitlines()[-1]}")
    sys.exit(SKIPPED)


class Environment:
    def __init__(self, folder, *packages):
        self.programs = os.path.join(folder, "bin")
        self.python = os.path.join(self.programs, "python")
        fault = None if os.path.exists(self.python) else attempt(sys.executable, "-m", "venv", folder)
        if fault:
            skip("no environment could be made (Debian: python3-venv)", fault)
        fault = self.install(*packages)
        if fault:
            skip("the package index cannot be reached", fault)

    def install(self, *arguments):
        return attempt(self.python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--retries", "1",
                       "--timeout", "10", *arguments)
