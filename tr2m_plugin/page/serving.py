"""The page's server: on this machine alone unless told otherwise, and nothing of it calls out."""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tr2m_plugin.errors import InputError, require
from tr2m_plugin.page.desk import Desk

LOCAL = ("127.0.0.1", "localhost", "::1")
PURPOSE, EXTRA = "to serve the page", "page"


def serve(make_desk: Callable[[], Desk], host: str = "127.0.0.1", port: int = 7860) -> None:
    """Serves the page until it is interrupted or terminated; its files are gone then.

    Args:
        make_desk: makes what does what visitors ask for, once the address is known to be free.
        host: address to listen at. Default: 127.0.0.1, this machine alone.
        port: 0 for one that is free. Default: 7860.

    Raises:
        InputError: the address is taken or none.
        MissingExtraError: gradio is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="tr2m-page-") as folder, _listen(host, port) as listening:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that the folder goes
        # Read as they are imported: where files go, and that nothing is told to anybody.
        os.environ |= {"GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}
        uvicorn: Any = require("uvicorn", PURPOSE, EXTRA)
        for module in ("trimesh", "gradio"):
            require(module, PURPOSE, EXTRA)
        app = make_app(make_desk(), Path(folder), host)
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2)
        shown = f"[{host}]" if ":" in host else host
        print(f"the page is at http://{shown}:{listening.getsockname()[1]} until you press Ctrl-C", flush=True)
        try:
            uvicorn.Server(config).run(sockets=[listening])
        except KeyboardInterrupt:
            return


def make_app(desk: Desk, folder: Path, host: str = "127.0.0.1") -> Any:
    """The page as a FastAPI application.

    Args:
        desk: does what visitors ask for.
        folder: for what they take, of whoever removes it in the end.
        host: address that it will be at. Default: this machine alone, and then no other name of it is answered, which
            another site's scripts could use.
    """
    from tr2m_plugin.page.files import Scratch
    from tr2m_plugin.page.layout import STYLE, make_page, make_theme

    gradio: Any = require("gradio", PURPOSE, EXTRA)
    fastapi: Any = require("fastapi", PURPOSE, EXTRA)
    app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    if host in LOCAL:
        trusted: Any = require("starlette.middleware.trustedhost", PURPOSE, EXTRA)
        app.add_middleware(trusted.TrustedHostMiddleware, allowed_hosts=[*LOCAL, "[::1]"])
    return gradio.mount_gradio_app(
        app,
        make_page(desk, Scratch(Path(tempfile.mkdtemp(dir=folder)))),
        path="/",
        server_name=host,
        footer_links=[],
        run_history=False,
        app_kwargs={"docs_url": None, "redoc_url": None, "openapi_url": None},
        max_file_size=int(desk.limits.megabytes * 10**6),
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
        theme=make_theme(),
        css=STYLE,
    )


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        said = getattr(error, "strerror", None) or error
        raise InputError(f"nothing can listen at {host}, port {port}: {said}; see --host and --port") from error
