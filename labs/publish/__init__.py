"""The lab publish."""
