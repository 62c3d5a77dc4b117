"""How hard Hypothesis tries: `HYPOTHESIS_PROFILE` is `dev` (the default), `ci` (always the same) or `nightly`."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_ANY_SPEED = (HealthCheck.too_slow, HealthCheck.filter_too_much)

settings.register_profile(
    "dev", max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=_ANY_SPEED
)
settings.register_profile("ci", settings.get_profile("dev"), derandomize=True, database=None, max_examples=120)
settings.register_profile("nightly", settings.get_profile("dev"), max_examples=5000, stateful_step_count=80)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))
