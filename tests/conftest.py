"""What holds for all tests."""

from __future__ import annotations

import signal

# A shell starts what runs in the background with SIGINT ignored, which child processes would inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
