"""What is measured, one command each. Medians, and ratios inside one run; the figures are in RESULTS.md."""
