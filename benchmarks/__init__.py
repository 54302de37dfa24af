"""Timings: side_by_side.py against the peers."""
