"""Remakes the bundled crawl from its sources: one file per part, `../build.py` puts them together."""
