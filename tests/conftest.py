"""Set-up for all tests: how many examples the properties try.

`fast` (the default) tries few, always the same ones; `OPENLINE_DEEP=1` tries many new ones at each run.
"""

import os

from hypothesis import HealthCheck, settings

# How long an example takes depends on what else the machine does: time proves nothing here.
_UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

settings.register_profile("fast", _UNTIMED, max_examples=100, derandomize=True, database=None)
settings.register_profile("deep", _UNTIMED, max_examples=10_000, print_blob=True)
settings.load_profile("deep" if os.environ.get("OPENLINE_DEEP") == "1" else "fast")
