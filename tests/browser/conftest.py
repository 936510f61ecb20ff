"""JupyterLab and voila in a real browser: Debian's Chromium, driven by Playwright."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import warnings

import nbformat
import psutil
import pytest
from conftest import ROOT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
#: what JupyterLab itself says on the console when all is well; of a notebook opened anew, whose widgets are gone; and
#: of a widget whose module came late, which anywidget then tells nothing: pictures need not hear of it (views/plot.py)
HARMLESS = ("ResizeObserver", "WebGL", "GPU stall", "widget model not found", "Failed to initialize model")
HARMLESS += ("Comm not found",)  # of a page that was opened again
#: what may be missing: icons from the network, and pages a browser asks for by itself
MISSING = ("favicon", "fontawesome", "/api/me")


@pytest.fixture(scope="module")  # Playwright keeps an event loop in this thread: close it before other tests want one
def browser():
    if CHROMIUM is None:
        message = "no Chromium; install it: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def context(browser):
    """What pages share: JupyterLab's 17 MB are fetched and compiled once."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    yield context
    context.close()


@pytest.fixture
def page(context):
    """A page that fails the test if anything was reported as an error on its console."""
    page = context.new_page()
    page.set_default_timeout(180_000)
    errors = []
    page.on("console", lambda m: errors.append((m.text, m.location.get("url", ""))) if m.type == "error" else None)
    page.on("pageerror", lambda e: errors.append((str(e), "")))
    yield page
    page.close()
    errors = [
        f"{text} ({url})"
        for text, url in errors
        if not any(word in text for word in HARMLESS)
        and not ("Failed to load resource" in text and any(word in url for word in MISSING))
    ]
    assert not errors, chr(10).join(errors)


def serve(module, *arguments, ready, cwd, log, **environment):
    """Start `python -m module`; gives the process once `ready` answers."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | environment
    with log.open("w") as file:
        server = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], cwd=cwd, env=environment, stdout=file, stderr=subprocess.STDOUT
        )
    for _ in range(720):
        try:
            urllib.request.urlopen(ready)
            return server
        except urllib.error.HTTPError:  # it answers, and wants a token
            return server
        except OSError:
            assert server.poll() is None, log.read_text()[-2000:]
            time.sleep(0.25)
    server.kill()
    raise AssertionError(f"{module} did not answer: {log.read_text()[-2000:]}")


def end(server):
    """End a server and its kernels; one that is told to while a kernel is starting waits for it in vain."""
    kernels = psutil.Process(server.pid).children(recursive=True)
    server.terminate()
    try:
        server.wait(60)
    except subprocess.TimeoutExpired:
        warnings.warn(f"{server.args[2]} did not end when it was told to", stacklevel=2)
        server.kill()
        server.wait()
        for kernel in kernels:
            with contextlib.suppress(psutil.NoSuchProcess):
                kernel.kill()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def with_parameters(source, target, parameters):
    """A copy of a notebook with other values in its parameters cell."""
    notebook = nbformat.read(source, as_version=4)
    cell = next(c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    cell.source += "".join(f"\n{name} = {value!r}" for name, value in parameters.items())
    target.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, target)


@pytest.fixture
def lab(jupyterlab):
    """JupyterLab on a copy of the notebooks: (address, folder); the kernels of the test before are ended."""
    end_kernels(jupyterlab[0])
    return jupyterlab


def end_kernels(address):
    """End what JupyterLab has open; a kernel that has ended meanwhile, or does not end, is left to `end`."""
    for session in sessions(address):
        asked = urllib.request.Request(f"{address}/api/sessions/{session['id']}", method="DELETE")
        with contextlib.suppress(OSError):
            urllib.request.urlopen(asked, timeout=60)


def sessions(address):
    """What JupyterLab has open: notebooks and the state of their kernels."""
    return json.load(urllib.request.urlopen(f"{address}/api/sessions", timeout=60))


@pytest.fixture(scope="module")
def jupyterlab(tmp_path_factory):
    """A JupyterLab server of its own."""
    folder = tmp_path_factory.mktemp("lab")
    settings = folder / "settings" / "@jupyterlab"
    # the whole notebook in the page, and no questions
    for name, text in {
        "notebook-extension/tracker": '{"windowingMode": "none"}',
        "apputils-extension/notification": '{"fetchNews": "false"}',
    }.items():
        (settings / name).parent.mkdir(parents=True, exist_ok=True)
        (settings / f"{name}.jupyterlab-settings").write_text(text)
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    server = serve(
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--IdentityProvider.token=",
        "--ServerApp.disable_check_xsrf=True",  # the fixture above ends kernels without a page
        f"--ServerApp.root_dir={folder}",
        ready=f"{address}/api",
        cwd=folder,
        log=folder / "lab.log",
        JUPYTERLAB_SETTINGS_DIR=str(folder / "settings"),
        JUPYTERLAB_WORKSPACES_DIR=str(folder / "workspaces"),
    )
    yield address, folder
    end(server)
