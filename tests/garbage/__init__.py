"""Requests that no API understands, on every path and RPC there is: refused as the caller's mistake, never a bug of ours."""
