"""Allmend: from a raw web crawl to a trained, audited, reported, jointly signed and publicly served open model."""

__version__ = "0.1.0"
