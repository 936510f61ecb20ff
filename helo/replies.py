"""In a notebook: a control that is moved while a cell awaits, as during a training, is answered, and heard afterwards.

ipykernel 7.4.0 gives such a message to the cell's own queue and says nothing of its end, so that the control waits for
ever. Before, and here, it goes to the queue that JupyterLab sent it to. 7.0 to 7.3 do so, and are too old for
us: they miss requests that arrive while they reply (github.com/ipython/ipykernel/issues/1554).
"""

import sys


def mend() -> None:
    """Leave a control's messages to the queue they were sent to; where nothing else is done, nothing is changed."""
    module = sys.modules.get("ipykernel.comm.comm")
    for kind in vars(module).values() if module else ():
        if isinstance(kind, type) and "_reply_subshell_for" in vars(kind):
            kind._reply_subshell_for = lambda self, data, default: default  # type: ignore[attr-defined]


mend()
