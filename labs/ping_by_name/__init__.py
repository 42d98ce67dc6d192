"""The lab ping-by-name."""
