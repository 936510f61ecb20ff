"""What kernels are forked from: `python zygote.py CHANNEL IMPORTS ROOM`, started by warm.py; Linux alone.

It imports what a notebook imports, and nothing else happens in it. It tells whether a kernel forked from it is what a
new one would be (`_unfit`), and then forks one whenever it is asked to. A forked kernel is a process of its own from
the start: a supervisor (kernel.py) in a session of its own, and under it ipykernel as `python -m ipykernel_launcher`
starts it, with the run's environment, arguments, `__main__`, log and lock, and with random states of its own.

Ends when its parent does, when a file that it has imported changes, or after a minute without a kernel. Needs nothing
but Python, and does not import the library for itself.
"""

import atexit
import contextlib
import gc
import importlib
import importlib.util
import io
import json
import os
import random
import runpy
import select
import shutil
import signal
import socket
import sys
import sysconfig
import tempfile
import threading
import traceback
import types
from pathlib import Path

IDLE = 60.0  # seconds
ROOM = 1024  # bytes of a mark: here they are spaces, in whose place a kernel's own is written
_supervision = runpy.run_path(str(Path(__file__).with_name("kernel.py")))
MARK, PREFIX, end_all = (_supervision[name] for name in ("MARK", "PREFIX", "end_all"))
INLINE = "module://matplotlib_inline.backend_inline"  # where ipykernel sends pictures if nobody says otherwise
# ipykernel.kernelapp is not among them: it reads its parent's number from the environment when it is imported
KERNEL = ("ipkernel", "zmqshell", "heartbeat", "iostream", "control", "shellchannel", "parentpoller")
#: what is imported when a library is first used: by an optimizer, a saved picture, a plot
AT_FIRST_USE = {
    "torch": ("torch._dynamo",),
    "matplotlib.pyplot": ("matplotlib.backends.backend_agg", "matplotlib.backends.backend_pdf", "fontTools.subset"),
    "plotly.graph_objs": ("plotly.graph_objs.layout._yaxis",),
}


def main(channel: socket.socket, names: list[str]) -> None:
    """Import, say whether kernels can be forked, and fork them.

    Args:
        channel: to the parent; a message is a request with a kernel's descriptors, or the number of one that has ended.
        names: what to import, "package.module" or "package.module:name".
    """
    before = dict(os.environ)
    os.environ.setdefault("MPLBACKEND", INLINE)
    os.environ["JE_ARROW_MALLOC_CONF"] = "background_thread:false"  # pyarrow's second allocator, which nobody uses
    try:
        asked = _import(names)
        told = _unfit(asked)
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
    del os.environ["JE_ARROW_MALLOC_CONF"]
    channel.send(json.dumps({"unfit": told}).encode())
    if told:
        return
    made = {name: value for name, value in os.environ.items() if before.get(name) != value}
    files = {path: _stamp(path) for path in _files()}
    gc.collect()
    gc.freeze()  # a collection in a kernel would copy every page
    if descriptors := _asked_for_a_kernel(channel, files):
        channel.close()
        _supervise(descriptors, made)


def _import(names):
    """Import what is installed, or this library's; gives the modules that asked whether they are in a notebook."""
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.core.shellapp import InteractiveShellApp

    asked = set()

    def initialized(cls):
        callers = (frame.f_globals["__name__"] for frame, _ in traceback.walk_stack(sys._getframe(1)))
        asked.add(next(name for name in callers if not name.startswith("IPython")))
        return False

    InteractiveShell.initialized = classmethod(initialized)  # type: ignore[method-assign, assignment]
    for name in KERNEL:
        importlib.import_module(f"ipykernel.{name}")
    InteractiveShellApp.init_path(types.SimpleNamespace(ignore_cwd=False))  # type: ignore[arg-type]  # as a kernel does
    for name in filter(_installed, names):
        module, _, part = name.partition(":")
        if part and not hasattr(importlib.import_module(module), part):
            importlib.import_module(f"{module}.{part}")
        importlib.import_module(module)
    for name in getattr(sys.modules.get("helo"), "__all__", ()):  # what it imports when it is asked for
        getattr(sys.modules["helo"], name)
    for library, later in AT_FIRST_USE.items():
        for name in later if library in sys.modules else ():
            importlib.import_module(name)
    sys.path.remove("")
    del InteractiveShell.initialized  # the class's own is its base's
    return asked


def _installed(name):
    """Whether a module comes with Python, or from a package: what lies beside a notebook may do anything."""
    package = name.partition(":")[0].partition(".")[0]
    found = importlib.util.find_spec(package)
    if package == "helo" or (found and found.origin in ("built-in", "frozen")):
        return True
    folders = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib")]
    path = str(found and (found.origin or next(iter(found.submodule_search_locations or ()), "")))
    return "-packages/" in path or any(path.startswith(f"{folder}/") for folder in folders)


def _unfit(asked):
    """Why a kernel forked from here would not be what a new one is; None if it would."""
    if (threads := len(os.listdir("/proc/self/task"))) > 1:
        return f"the imports start {threads - 1} threads"
    sys.stdout.flush()  # it is a file, which is written to when its buffer is full
    if os.fstat(1).st_size:
        return "the imports print: " + os.pread(1, 300, 0).decode(errors="replace").strip()
    if others := asked - {"ipywidgets"}:  # it is told later
        return f"{sorted(others)} ask whether they are in a notebook"
    if left := [path for path in Path(os.environ["TMPDIR"]).rglob("*") if path.is_file() and path.name != "held"]:
        return f"the imports leave {left[0].name}"
    if torch := sys.modules.get("torch"):
        if torch.cuda.is_initialized():
            return "the imports use the GPU"
        child = os.fork()
        if not child:
            os._exit(int(torch.cuda._is_in_bad_fork()))
        if os.waitpid(child, 0)[1]:
            return "the imports look for GPUs, so that a process forked afterwards could not use them"
    _write_over(sys.orig_argv, os.environ[MARK])  # whether it can
    return None


def _files():
    return [m.__file__ for m in list(sys.modules.values()) if isinstance(getattr(m, "__file__", None), str)]


def _stamp(path):
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _asked_for_a_kernel(channel, files):
    """In a new process its descriptors; None when this one is to end."""
    channel.settimeout(IDLE)
    while True:
        try:
            message, descriptors, *_ = socket.recv_fds(channel, 64, 4)
        except TimeoutError:
            if _has_children():
                continue
            return None
        except ConnectionError:
            return None
        if not message:
            return None
        if not descriptors:
            with contextlib.suppress(ChildProcessError):  # of the process that was here before this one
                os.waitpid(int(message), 0)  # not before it is told, so that nobody else has that number until then
            continue
        if any(_stamp(path) != stamp for path, stamp in files.items()):
            return None
        if not os.fork():
            return descriptors
        for descriptor in descriptors:
            os.close(descriptor)


def _has_children():
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _supervise(descriptors, made):
    """Start the kernel and end all that the run started, as kernel.py's own process does."""
    connection, order, lock, log = descriptors
    with open(order) as file:
        wanted = json.load(file)
    os.setsid()
    signal.signal(signal.SIGINT, lambda *_: None)
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.chdir(wanted["cwd"])
    supervisor, command, environment = wanted["supervisor"], wanted["command"], wanted["environment"]
    _write_over([*supervisor, *command], environment[MARK])
    own = environment["TMPDIR"]  # caches that a library has settled on go where a new kernel's would
    made = {name: value.replace(os.environ["TMPDIR"], own) for name, value in made.items()}
    try:
        os.write(connection, str(os.getpid()).encode())
    except BrokenPipeError:
        os._exit(1)
    kernel = os.fork()
    if not kernel:
        os.close(connection)
        os.set_inheritable(lock, True)
        _kernel(command, {**environment, **made, "JPY_PARENT_PID": str(os.getppid())})
    alone = False
    while os.waitpid(kernel, os.WNOHANG) == (0, 0) and not alone:
        alone = bool(select.select([connection], [], [], 0.02)[0])  # nothing is ever sent: the run is gone
    end_all(environment[MARK], alone)


def _kernel(command, environment):
    """ipykernel, as its launcher starts it in a new interpreter."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _write_over(command, environment[MARK])
    os.environ.clear()
    os.environ.update(environment)
    _own_state()
    found = importlib.util.find_spec(command[2])
    sys.argv = [str(found and found.origin), *command[3:]]
    sys.orig_argv = list(command)
    sys.modules["__main__"] = types.ModuleType("__main__")
    from ipykernel.kernelapp import IPKernelApp

    kernel = IPKernelApp.instance()
    kernel.initialize()
    if widgets := sys.modules.get("ipywidgets"):
        widgets.load_ipython_extension(kernel.shell)  # what importing it does in a notebook
    kernel.start()
    _exit()


def _exit():
    """As the interpreter ends, but for the libraries: to take them apart would copy their memory first, half a second.

    That is what Python promises to those who are there at its end: exit functions, threads that are waited for, files
    that are written out. IPython's exit function has let go of the notebook's variables.
    """
    threading._shutdown()  # type: ignore[attr-defined]  # what the interpreter itself calls
    atexit._run_exitfuncs()
    gc.collect()
    for opened in gc.get_objects():
        if isinstance(opened, io.IOBase):
            with contextlib.suppress(OSError, ValueError):  # a full disk, a file that is closed
                opened.flush()
    os._exit(0)


def _own_state():
    """What a new interpreter has of its own: states of random numbers, a key, a folder for temporary files."""
    random.seed()
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()
    if torch := sys.modules.get("torch"):
        torch.default_generator.seed()
    if processes := sys.modules.get("multiprocessing.process"):
        processes.current_process().authkey = os.urandom(32)
    tempfile.tempdir = None


def _write_over(command, mark):
    """Show another command line and mark to whoever looks at this process in /proc."""
    with open("/proc/self/stat") as file:
        first, last, start, end = map(int, file.read().rpartition(")")[2].split()[45:49])
    with open("/proc/self/mem", "r+b", buffering=0) as memory:
        memory.seek(first)
        title = "\0".join(command).encode(errors="surrogateescape")[: last - first - 1]
        memory.write(title.ljust(last - first, b"\0"))
        memory.seek(start)
        environment = memory.read(end - start)
        memory.seek(start + (b"\0" + environment).index(f"\0{MARK}=".encode()) + len(f"{MARK}="))
        memory.write(mark.encode(errors="surrogateescape").ljust(ROOM, b"\0"))


if __name__ == "__main__":
    if sys.path[0] == os.path.dirname(os.path.abspath(__file__)):
        del sys.path[0]  # as ipykernel's launcher does
    own, here = os.environ["TMPDIR"], os.getpid()
    try:
        with socket.socket(fileno=int(sys.argv[1])) as channel:
            main(channel, json.loads(sys.argv[2]))
    finally:
        if os.getpid() == here and os.path.basename(own).startswith(PREFIX):  # a parent that was killed cannot do it
            shutil.rmtree(own, ignore_errors=True)
