# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Play no faster than the slowest pipeline works, so that hardly a frame is dropped."""

from __future__ import annotations

from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters

from .pipeline_recorder import PipelineRecorder

_MARGIN = 0.85  # of the rate that the last frames would have allowed
_SLOWEST = 0.1  # Hz
_START = 1.0  # Hz


class PlayingPace:
    """Sets the rate of image_player_node while it plays, by its parameter.

    The player starts slowly, as the first frame takes far longer than the others (CUDA kernels are
    loaded, memory is allocated). Then a frame is due when the one before has been matched by all,
    but not sooner than at the rate wanted.

    Args:
        recorder: that sees what was played and worked off.
        player: name of the player's node.
        rate: to play at, at most, Hz.
    """

    def __init__(self, recorder: PipelineRecorder, player: str, rate: float) -> None:
        self.rate = self.first_rate(rate)
        self._wanted = rate
        self._recorder = recorder
        self._client = recorder.create_client(SetParameters, f"{player}/set_parameters")

    @staticmethod
    def first_rate(rate: float) -> float:
        """Give the rate to start the player with, Hz."""
        return min(rate, _START)

    def adapt(self) -> None:
        """Look at how long the last frames took, and set the rate if it should be another."""
        latency = self._recorder.latency()
        if latency is None or not self._client.service_is_ready():
            return
        rate = min(self._wanted, max(_SLOWEST, _MARGIN / max(latency, 1e-3)))
        if abs(rate / self.rate - 1) < 0.1 and rate != self._wanted or rate == self.rate:
            return
        value = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=float(rate))
        request = SetParameters.Request(parameters=[Parameter(name="rate", value=value)])
        self._client.call_async(request)
        self.rate = rate
