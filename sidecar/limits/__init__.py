"""Rate and concurrency limits shared by all workers of a machine: docs/concepts/limits.md."""

from __future__ import annotations

from sidecar.limits.buckets import Bucket, buckets_of, share_of
from sidecar.limits.store import Level, LimitStore, Refused, Reservation

__all__ = ["Bucket", "Level", "LimitStore", "Refused", "Reservation", "buckets_of", "share_of"]
