"""How static and how dynamic a network is while it is trained."""

from sdbench.tracking.tracker import Tracker

__all__ = ["Tracker"]
