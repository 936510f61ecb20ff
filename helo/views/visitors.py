"""How many kernels the dashboard's visitors may have: each holds the data, a model and torch, about 700 MB."""

from __future__ import annotations

from typing import Any

from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from tornado.web import HTTPError
from traitlets import Int


class FewKernels(AsyncMappingKernelManager):
    """Jupyter's kernels, at most `most` at once; another visitor is told to wait.

    An idle kernel is ended by Jupyter's own `cull_idle_timeout`, which the Makefile sets.
    """

    most = Int(4, config=True, help="most kernels at once")
    _starting = 0

    async def start_kernel(self, **arguments: Any) -> str:  # type: ignore[override]
        """As Jupyter's.

        Raises:
            HTTPError: 503, there are `most` already.
        """
        if len(self.list_kernel_ids()) + self._starting >= self.most:
            raise HTTPError(503, reason=f"{self.most} pages are open, the most there may be; close one or try later")
        self._starting += 1
        try:
            return await super().start_kernel(**arguments)
        finally:
            self._starting -= 1
