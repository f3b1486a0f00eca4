"""Reproducible side-by-side measurements. Absolute times depend on the machine; ratios inside one run count."""
