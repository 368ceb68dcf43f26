"""Benchmarks of deepbp against other libraries, as ratios of times measured in one run."""
