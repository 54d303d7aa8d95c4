"""The home page: what one caller may call and has used, as HTML rendered by the gateway.

`page(view)` returns the document; `asset(name)` returns one of its scripts or styles, or None.
"""

from sidecar.home.assets import POLICY, asset
from sidecar.home.page import page
from sidecar.home.view import Allowed, HomeView, RouteView, UpstreamView

__all__ = ["POLICY", "Allowed", "HomeView", "RouteView", "UpstreamView", "asset", "page"]
