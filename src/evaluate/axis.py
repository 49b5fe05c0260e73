"""Names of the curves of a score, which its arrays and facts have; numpy only, see `curves`."""

from collections.abc import Container

TIME_COURSE, DELAY_PROFILE = "time_course", "delay_profile"
CURVES = (TIME_COURSE, DELAY_PROFILE)


def curve_name(arrays: Container[str]) -> str | None:
    """Return the name of the curve among stored arrays, None without one."""
    return next((name for name in CURVES if name in arrays), None)
