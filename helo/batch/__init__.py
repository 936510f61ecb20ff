"""Batch work: a notebook's run as a folder, many runs as a sweep, on one machine or a cluster."""
