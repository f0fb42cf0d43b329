"""What the tests of the server share: a small model, a running server, and clients.

Sound of the synthetic model is noise, so what is checked is its form, its length, and that the same
wish gives the same bytes.
"""
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import traceback

PROGRAM = os.path.abspath(sys.argv[1])
SCRATCH = os.path.abspath(sys.argv[2])
MODEL = os.path.join(SCRATCH, "model")
RATE = 16000
with open(PROGRAM, "rb") as program:  # a sanitizer keeps what is freed for a while, or what it knows of it
    KEEPS_FREED_MEMORY = re.search(rb"__[at]san_init", program.read()) is not None


def environment(**more):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SPARKMILL_")}
    folders = {f"XDG_{name}_HOME": os.path.join(SCRATCH, name.lower()) for name in ("CACHE", "STATE", "DATA", "CONFIG")}
    return dict(kept, **folders, **more)


def run(*arguments, status=0, timeout=120, **more):
    done = subprocess.run([PROGRAM, *arguments], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=timeout, **more)
    assert done.returncode == status, f"{arguments}: {done.returncode}: {done.stderr.decode()}"
    return done.stdout.decode(), done.stderr.decode()


def prepare():
    shutil.rmtree(SCRATCH, ignore_errors=True)
    os.makedirs(SCRATCH)
    run("synth-model", MODEL)


def wait_until(what, seconds=60):
    """Until what() is true; the value. Gives up after a long time: what is waited for is certain to come."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = what()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds} s in vain")


class Server:
    def __init__(self, *arguments, ready=True, variables=None, **options):
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in
                 {"port": 0, "devices": "cpu:1", "max_utterance_s": 1, **options}.items()]
        self.log_path = os.path.join(SCRATCH, "log")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen([PROGRAM, "serve", "--model", MODEL, *flags, *arguments],
                                            env=environment(**(variables or {})), stderr=log,
                                            stdin=subprocess.DEVNULL)
        self.port = int(self.wait_for(r"event=listening address=127\.0\.0\.1:(\d+)")[1])
        if ready:
            self.wait_for("event=ready")

    def log(self):
        with open(self.log_path, encoding="utf-8") as file:
            return file.read()

    def wait_for(self, pattern):
        def look():
            found = re.search(pattern, self.log())
            assert found or self.process.poll() is None, f"the server ended: {self.log()}"
            return found

        return wait_until(look)

    def stop(self, number=signal.SIGTERM, status=0):
        self.process.send_signal(number)
        assert self.process.wait(60) == status, f"{self.process.returncode}: {self.log()[-2000:]}"

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            if kind:
                self.process.kill()
                self.process.wait()
                print(self.log()[-4000:])
            else:
                self.stop()

    def call(self, method, path, body=None, headers=None, status=200):
        """One request on its own connection: (headers, body)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        assert answer.status == status, f"{method} {path}: {answer.status}, not {status}: {data[:500]}"
        return answer.headers, data

    def json(self, *arguments, **more):
        headers, data = self.call(*arguments, **more)
        assert headers["Content-Type"] == "application/json", headers["Content-Type"]
        return json.loads(data)

    def speak(self, status=200, headers=None, **fields):
        return self.call("POST", "/v1/audio/speech", wish(**fields), headers, status)

    def refuse(self, method, path, body=None, headers=None, status=400, code=None, param=None):
        """The error, whose envelope must be OpenAI's."""
        answer, data = self.call(method, path, body, headers, status)
        root = json.loads(data)
        assert set(root) == {"error"} and set(root["error"]) == {"message", "type", "param", "code"}, root
        error = root["error"]
        assert isinstance(error["message"], str) and error["message"], error
        assert code is None or error["code"] == code, error
        assert param is None or error["param"] == param, error
        for private in (SCRATCH, "0x", "/proc"):
            assert private not in data.decode(), data
        return dict(error, headers=answer)

    def raw(self, data, shut=False, read=True, timeout=60):
        """Bytes to the server, and all that it says until it closes or has answered whole."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as s:
            try:
                s.sendall(data)
                if shut:
                    s.shutdown(socket.SHUT_WR)
            except OSError:  # it has closed already
                pass
            got = b""
            while read:
                try:
                    piece = s.recv(65536)
                except (ConnectionResetError, socket.timeout):
                    break
                if not piece:
                    break
                got += piece
        return got

    def metric(self, name, **labels):
        _, data = self.call("GET", "/metrics")
        total = 0
        for line in data.decode().splitlines():
            found = re.match(r"sparkmill_(\w+)(?:\{(.*)\})? (\S+)$", line)
            if found and found[1] == name and all(f'{k}="{v}"' in found[2] for k, v in labels.items()):
                total += float(found[3])
        return total

    def status_of_process(self, field):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return int(re.search(rf"{field}:\s+(\d+)", file.read())[1])

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def count_files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


def wish(**fields):
    return {"model": "tts-1", "input": "Good morning.", "voice": "alloy", "response_format": "wav", **fields}


def main(cases, skipped=()):
    """Run the functions in order; the exit status."""
    forgotten = [name for name, value in vars(sys.modules["__main__"]).items()
                 if name.startswith("test_") and value not in [*cases, *skipped]]
    assert not forgotten, f"nobody runs {forgotten}"
    failed = []
    prepare()
    for case in cases:
        started = time.monotonic()
        try:
            case()
        except Exception:  # noqa: BLE001 - a test's failure is what is reported
            traceback.print_exc()
            failed.append(case.__name__)
        print(f"{time.monotonic() - started:6.1f} s  {case.__name__}", flush=True)
    shutil.rmtree(MODEL, ignore_errors=True)
    print(f"{len(cases) - len(failed)} passed, {len(failed)} failed")
    for name in failed:
        print(f"failed: {name}")
    return 1 if failed else 0
