"""The system clock, which dates the log, compared with the monotonic clock."""

import time

# NTP slews both clocks alike. A larger difference is a jump of the system clock.
LARGEST_DRIFT = 1.0  # seconds


def clock_offset() -> float:
    """Seconds from the monotonic clock to the system clock."""
    return time.time() - time.monotonic()


def clock_jump(offset: float) -> str:
    """Describe the jump of the system clock since it had this offset, or ''."""
    drift = clock_offset() - offset
    if abs(drift) < LARGEST_DRIFT:
        return ""
    return f"the system's clock jumped by {drift:+.1f} s during the run: its log has no time"
