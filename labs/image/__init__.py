"""The demo image of the labs and tests, built from Debian's static busybox."""
