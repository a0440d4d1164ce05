# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Start binary networks with bits that code the keypoint's geometry.

What a booster adds to a descriptor is the keypoint's geometry (arXiv 2211.15069, section 3.1):
features that show one point mostly have similar geometry, and chance neighbors do not. Gradients
through signs hardly find such bits, so they are computed. An angle is coded by the sides of evenly
rotated diameters on which it lies, so that the Hamming distance is proportional to the difference
of two angles; a number is coded by the thresholds that it exceeds. The keypoint encoder, an MLP, is
fitted to add this code to its output by regression.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ..booster import FeatureBooster, ModelConfig
from ..booster.descriptors import network_input
from ..booster.network import KeypointEncoder
from .datasets.batches import PairBatch
from .initialization import sign_projection

ANGLE_BITS, SCALE_BITS, X_BITS, Y_BITS = 16, 8, 12, 8
CODE_BITS = ANGLE_BITS + SCALE_BITS + X_BITS + Y_BITS
"""Bits of the code."""
OCTAVES, WIDTH, HEIGHT = 1.85, 1.4, 1.1
"""Ranges of the thresholds: ORB's eight levels [octaves], and an image in the network's input."""

CODE_GAIN = 2.0
"""Length of the code's numbers beside descriptors of +1 and -1."""

CODE_BATCHES = 6
"""Batches of pairs to choose bits and to fit with."""

CONTESTED_BITS = 20
"""Distance [bits] by which the nearest right and wrong neighbors of a rivalry differ at most."""

ANGLE_SHARE = 0.2
"""Length of the angle's vector beside a descriptor of length 1, before both become signs."""

CARRIER = 0.06
"""Length of the angle's vector inside the network, beside a descriptor of length 1."""

CONSTANT = 1e-5
"""Share of the largest singular value below which a direction counts as constant."""

FIT_STEPS, FIT_BATCH, FIT_RATE = 1500, 2048, 2e-3
"""Steps, keypoints of a step and first learning rate of the regression."""
BEYOND = 1.3
"""Positions are fitted to this many image sizes, for cameras of other shapes."""


def geometry_code(keypoints: Tensor) -> Tensor:
    """Return numbers whose signs code the geometry of keypoints.

    Args:
        keypoints: (..., 4) x, y, scale, angle as the network takes them.

    Returns:
        (..., CODE_BITS) of magnitude about 1, for angle, scale, x and y.
    """
    x, y, scale, angle = keypoints.unbind(-1)
    turns = torch.arange(ANGLE_BITS) * (math.pi / ANGLE_BITS)
    octave = scale.clamp_min(0.25).log2() - OCTAVES / 2
    parts = [torch.cos(angle.unsqueeze(-1) - turns)]
    for number, spread, bits, gain in (
        (octave, OCTAVES, SCALE_BITS, 1.5),
        (x, WIDTH, X_BITS, 2.5),
        (y, HEIGHT, Y_BITS, 2.5),
    ):
        thresholds = (torch.linspace(-0.5, 0.5, bits + 2) * spread)[1:-1]
        parts.append(gain * (number.unsqueeze(-1) - thresholds))
    return torch.cat(parts, dim=-1)


def check_geometry_code(config: ModelConfig, source: ModelConfig | None) -> None:
    """Check that a network can start with a geometry code.

    Args:
        config: The network that starts.
        source: The trained network that it starts from, or None near the identity.

    Raises:
        ValueError: The networks are of other kinds.
    """
    fits = config.binary and config.keypoint_dim == 4 and config.use_kenc
    if source is None and not (fits and config.output_dim == config.descriptor_dim):
        raise ValueError(
            f"{config.name} cannot start with a geometry code: it takes a binary network with a "
            "keypoint encoder, that gives as many bits as it takes, of features with scale and "
            "angle"
        )
    if source is not None and (not fits or source.binary):
        raise ValueError(
            f"{config.name} cannot start from {source.name} with a geometry code: it takes "
            "a binary network with a keypoint encoder, of features with scale and angle, and the "
            "float one of the same feature"
        )


@torch.no_grad()
def trade_bits_for_geometry(network: FeatureBooster, batches: Sequence[PairBatch]) -> None:
    """Outvote the least informative bits of a near-identity network by a code of the geometry.

    The keypoint encoder adds the code to these bits with a gain, so that it decides their signs.

    Args:
        network: Network from :func:`.start_near_identity` that :func:`check_geometry_code` takes,
            on the CPU.
        batches: Pairs to choose the bits with, and keypoints to fit to.
    """
    assert network.kenc is not None  # as checked
    config = network.config
    traded = least_informative_bits(batches)[:CODE_BITS].cpu()

    def code(keypoints: Tensor) -> Tensor:
        added = torch.zeros(*keypoints.shape[:-1], config.descriptor_dim)
        added[..., traded] = CODE_GAIN * geometry_code(keypoints)
        return added

    keypoints = torch.cat([batch.keypoints[~batch.padding] for batch in batches])
    fit_keypoint_encoder(network.kenc, keypoints.cpu(), code)


def least_informative_bits(batches: Sequence[PairBatch]) -> Tensor:
    """Return the bits of the descriptors, least informative first.

    They are ordered by the weights of a logistic regression on which bits differ, between a
    feature's nearest right and nearest wrong neighbor, of features where these are rivals.

    Args:
        batches: Pairs of binary descriptors.

    Returns:
        (D,) numbers of bits.
    """
    differences = []
    for batch in batches:
        for first, second, right, wrong in zip(
            *batch.descriptors[batch.pairs], batch.positive, batch.negative, strict=True
        ):
            distances = (first.shape[1] - first @ second.T) / 2
            nearest = [
                distances.masked_fill(~which, torch.inf).min(dim=1) for which in (right, wrong)
            ]
            rivals = (nearest[0].values - nearest[1].values).abs() < CONTESTED_BITS
            # (1 - product) / 2 is whether two bits differ.
            own = first[rivals]
            differences.append(
                own * (second[nearest[0].indices[rivals]] - second[nearest[1].indices[rivals]]) / 2
            )
    rows = torch.cat(differences)
    weights = torch.ones(rows.shape[1], device=rows.device, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=60)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.softplus(-0.3 * rows @ weights).mean()
        loss = loss + 1e-3 * (weights - weights.mean()).square().mean()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    return weights.detach().argsort()


@torch.no_grad()
def project_with_angle(
    network: FeatureBooster, source: FeatureBooster, batches: Sequence[PairBatch]
) -> None:
    """Make the bits of a binary network those of a float network's descriptors and the angles.

    The keypoint encoder writes the angle's cosine and sine where descriptors hardly vary. The
    projection becomes the linear map from its input to these two and the float descriptors less
    their mean, so that bits are as often set as not. It is rotated so that the signs lose least
    (:func:`.sign_projection`).

    Args:
        network: Network from :func:`.start_from_trained` that :func:`check_geometry_code` takes.
        source: Float network that it started from.
        batches: Features to fit to.
    """
    assert network.kenc is not None  # as checked
    sums = _outputs(network, batches, before="attn_proj")
    carriers = quiet_directions(sums, 2)
    keypoints = torch.cat([batch.keypoints[~batch.padding] for batch in batches])
    fit_keypoint_encoder(network.kenc, keypoints, lambda k: CARRIER * _circle(k) @ carriers.T)
    descriptors = nn.functional.normalize(_outputs(source, batches), dim=-1)
    centered = nn.functional.normalize(descriptors - descriptors.mean(0), dim=-1)
    wanted = torch.cat([centered, ANGLE_SHARE * _circle(keypoints)], dim=1)
    wanted = nn.functional.normalize(wanted, dim=-1)
    reaching = _outputs(network, batches, before="final_proj")
    reaching = torch.cat([reaching, torch.ones(len(reaching), 1)], dim=1)
    # Layer norm leaves one direction without variance. Fitting to the rounding errors there would
    # make huge weights, which half precision cannot hold.
    linear = torch.linalg.lstsq(
        reaching.double(), wanted.double(), rcond=CONSTANT, driver="gelsd"
    ).solution.float()
    projection = linear @ sign_projection(wanted, network.config.output_dim)
    # The signs do not depend on the scale, but tanh does: neither flat nor saturated.
    projection /= (reaching @ projection).std()
    network.final_proj.weight.copy_(projection[:-1].T)
    network.final_proj.bias.copy_(projection[-1])


def quiet_directions(vectors: Tensor, number: int) -> Tensor:
    """Return orthonormal directions in which vectors vary least and which layer norm keeps.

    Args:
        vectors: (M, D).
        number: Number of directions.

    Returns:
        (D, number); the elements of each sum to 0.
    """
    centered = vectors - vectors.mean(0)
    centered = centered - centered.mean(1, keepdim=True)
    _, directions = torch.linalg.eigh((centered.T @ centered).double())
    # The first direction is the mean over the elements, which was subtracted.
    return directions[:, 1 : 1 + number].float()


def fit_keypoint_encoder(
    encoder: KeypointEncoder, keypoints: Tensor, addition: Callable[[Tensor], Tensor]
) -> float:
    """Fit the encoder to add something to its output.

    Args:
        encoder: Changed in place.
        keypoints: (M, 4) examples.
        addition: Function from keypoints (..., 4) to what is added, (..., D).

    Returns:
        Root mean square error of a row in the last step.
    """
    before = copy.deepcopy(encoder)
    optimizer = torch.optim.Adam(encoder.parameters(), FIT_RATE)
    for step in range(FIT_STEPS):
        optimizer.param_groups[0]["lr"] = FIT_RATE * (1 - step / FIT_STEPS)
        drawn = keypoints[torch.randint(len(keypoints), (FIT_BATCH,))]
        # Any angle, and in half of the examples any place.
        drawn[:, 3] = torch.rand(FIT_BATCH) * (2 * math.pi)
        half = FIT_BATCH // 2
        drawn[:half, :2] = BEYOND * drawn[torch.randperm(FIT_BATCH)[:half], :2]
        with torch.no_grad():
            target = before(drawn) + addition(drawn)
        with torch.enable_grad():
            loss = (encoder(drawn) - target).square().sum(1).mean()
            optimizer.zero_grad()
            loss.backward()
        optimizer.step()
    return float(loss.detach().sqrt())


def _circle(keypoints: Tensor) -> Tensor:
    """Return cosine and sine (..., 2) of the angles of keypoints (..., 4)."""
    return torch.stack([keypoints[..., 3].cos(), keypoints[..., 3].sin()], dim=-1)


def _outputs(
    network: FeatureBooster, batches: Sequence[PairBatch], before: str | None = None
) -> Tensor:
    """Return the network's outputs for the features of batches.

    Args:
        network: The network.
        batches: Features.
        before: "attn_proj" or "final_proj" for the inputs of that part instead.

    Returns:
        (M, D).
    """
    cut = copy.deepcopy(network).eval()
    if before is not None:
        cut.config = dataclasses.replace(network.config, l2_normalization=False)
        cut.last_activation = None
        cut.register_module("final_proj", nn.Identity())
    if before == "attn_proj":
        cut.attn_proj = None
    outputs = []
    for batch in batches:
        descriptors = network_input(batch.descriptors, cut.config)
        outputs.append(cut(descriptors, batch.keypoints, batch.padding)[~batch.padding])
    return torch.cat(outputs)
