# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which profile of Fast DDS a process reads.

By default Fast DDS loses parts of messages of more than 512 KiB, and reliable messages that the
same process publishes beside them, which arrive up to 3 s late (docs/reliability.md).
"""

from __future__ import annotations

import os
from pathlib import Path

VARIABLES = (
    "FASTDDS_DEFAULT_PROFILES_FILE",
    "FASTRTPS_DEFAULT_PROFILES_FILE",
    "FASTDDS_BUILTIN_TRANSPORTS",
    "ROS_LOCALHOST_ONLY",
)
"""Environment variables that configure how Fast DDS transports messages. The second is the first
one's name in Fast DDS 2, which Humble and Jazzy have.
"""


def profile_environment(profile: Path) -> dict[str, str]:
    """Return the environment variable that has a process read a profile.

    Args:
        profile: File of the profile, such as config/fastdds.xml.

    Returns:
        Empty where this process's environment configures Fast DDS already.
    """
    if any(os.environ.get(name) for name in VARIABLES):
        return {}
    is_fastdds_2 = os.environ.get("ROS_DISTRO") in ("humble", "iron", "jazzy")
    return {VARIABLES[1 if is_fastdds_2 else 0]: str(profile.expanduser().resolve())}
