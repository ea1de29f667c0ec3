"""A service in a process of its own, as foreigners meet it, and where the tools of other languages are."""

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NODE_MODULES = ROOT / ".node" / "node_modules"
GO_SOURCES = Path("/usr/share/gocode")
PATIENCE_S = 60

EBIZZY = {"workload": "ebizzy", "machine": "small", "cpus": 2, "threads": 2, "until_ns": 2_000_000}


@contextmanager
def service():
    """Yield {"unix": address, "tcp": address}; afterwards the service must end well, asked by SIGTERM."""
    # Not pytest's folder: a socket's path has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="kactors-") as folder:
        listen = ["--listen", f"unix:{folder}/k.sock", "--listen", "tcp:127.0.0.1:0"]
        command = [sys.executable, "-m", "kactors", "serve", *listen, "--store", f"{folder}/k.sqlite"]
        command += ["--workers", "1", "--log", "json"]
        with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
            lines = queue.Queue()
            reader = threading.Thread(target=read_log, args=(process.stderr, lines))
            reader.start()
            try:
                yield addresses(lines)
                ended_unasked = process.poll() is not None
                process.send_signal(signal.SIGTERM)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(PATIENCE_S)
                code = process.poll()
            finally:
                process.kill()
                reader.join()
        log = [line for line in lines.queue if line is not None]
        assert (ended_unasked, code) == (False, 0), "".join(log)
        assert all('"level": "info"' in line for line in log), "".join(log)


def read_log(file, lines):
    for line in file:
        lines.put(line)
    lines.put(None)


def addresses(lines):
    seen = []
    while (line := lines.get(timeout=PATIENCE_S)) is not None:
        seen.append(line)
        if (event := json.loads(line))["event"] == "serving":
            return {address.partition(":")[0]: address for address in event["addresses"]}
    pytest.fail("the service does not serve:\n" + "".join(seen))


def tool(name, package=None):
    """Return the program's path, or skip and say what is missing."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"there is no {name} here; Debian has it as {package or name}")
    return path


def node():
    path = tool("node", "nodejs")
    if not (NODE_MODULES / "neovim").is_dir():
        pytest.skip("npm's clients are not here; `make foreign-clients` installs them")
    return path


def ruby():
    path = tool("ruby")
    if subprocess.run([path, "-e", "require 'msgpack'"], stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("Ruby has no msgpack; Debian has it as ruby-msgpack")
    return path


def go():
    path = tool("go", "golang-go")
    if not (GO_SOURCES / "src/github.com/ugorji/go/codec").is_dir():
        pytest.skip("Go has no codec; Debian has it as golang-github-ugorji-go-codec-dev")
    return path


def go_settings(folder):
    """Return the environment in which Go finds Debian's sources, and leaves nothing outside the folder."""
    return {"GO111MODULE": "off", "GOPATH": str(GO_SOURCES), "GOFLAGS": "", "GOCACHE": str(folder / "go-cache")}


def neovim():
    return tool("nvim", "neovim")


def output(command, folder=ROOT, **environment):
    """Run a foreign program to its end; return what it printed."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
