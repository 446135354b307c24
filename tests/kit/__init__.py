"""What tests share: cubes and slices, places, faults, servers, and judges of what is left. No test module imports another."""

from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
"""The checkout."""
