"""Measurements, each with the command that makes it; results lie in `bench/results/`."""
