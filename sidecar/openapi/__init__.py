"""The page at `/docs`: an OpenAPI 3.1 document of the REST paths for one caller, and Swagger UI to try them.

`document(routes, version)` returns the document as a dict; `asset(name)` returns a file of the page, or None.
"""

from sidecar.openapi.document import document
from sidecar.openapi.page import POLICY, Asset, asset

__all__ = ["POLICY", "Asset", "asset", "document"]
