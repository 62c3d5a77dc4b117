"""Devices that are none: processes for those who want to try a driver without hardware, and for tests of faults."""
