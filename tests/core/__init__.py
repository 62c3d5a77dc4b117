"""Tests of the pure rules, in virtual time."""
