# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The losses of FeatureBooster (arXiv 2211.15069, section 3.3) and another, for whole batches of
image pairs at once.
"""

from __future__ import annotations

import torch
from torch import Tensor

BINS = 10
L2_RANGE = 4.0
"""Largest squared distance of two unit vectors."""


class _SoftCumulativeHistogram(torch.autograd.Function):
    """How many distances lie below each bin's edge, softly: the running sum of FastAP's histogram.

    FastAP counts a distance u, in units of bins, with weight max(0, 1 - |u - l|) in bin l. Summed
    up to bin l this is clamp(l + 1 - u, 0, 1), whose derivative is -1 in one bin alone, the one u
    lies in. So neither direction needs the (bins, N, N) tensor that the definition suggests.
    """

    @staticmethod
    def forward(ctx, distances: Tensor, bins: int) -> Tensor:
        # One buffer for all edges: fresh memory for each would cost more than the arithmetic.
        opposite, below, counts = -distances, torch.empty_like(distances), []
        for edge in range(bins + 1):
            torch.add(opposite, edge + 1, out=below)
            counts.append(below.clamp_(0, 1).sum(-1))
        ctx.save_for_backward(distances)
        ctx.bins = bins
        return torch.stack(counts, dim=-1)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        (distances,) = ctx.saved_tensors
        # One more bin, without gradient, takes the distances beyond the last edge.
        padded = torch.cat([gradient, gradient.new_zeros(*gradient.shape[:-1], 1)], dim=-1)
        lies_in = distances.floor().clamp_(0, ctx.bins + 1).long()
        return -padded.gather(-1, lies_in), None


def fast_ap(
    distances: Tensor, positive: Tensor, negative: Tensor, largest: float, bins: int = BINS
) -> Tensor:
    """Average precision of each query, by soft histograms (FastAP, Cakir et al., CVPR 2019,
    equation 8).

    Args:
        distances: (..., M, N), query by candidate.
        positive: (..., M, N) bool, the candidates that show the query's point.
        negative: (..., M, N) bool, those that do not; a candidate that is neither is left out.
        largest: the largest distance there can be.
        bins: the histogram's.

    Returns:
        (..., M) in [0, 1]; 0 for a query without positives, which the caller leaves out.
    """
    units = distances * (bins / largest)
    beyond = units.new_tensor(bins + 2.0)
    seen = _SoftCumulativeHistogram.apply(torch.where(positive | negative, units, beyond), bins)
    seen_positive = _positive_cumulative_histogram(units, positive, bins)
    in_bin = torch.diff(seen_positive, dim=-1, prepend=torch.zeros_like(seen_positive[..., :1]))
    precision = seen_positive / seen.clamp_min(torch.finfo(seen.dtype).eps)
    return ((in_bin * precision).sum(-1) / positive.sum(-1).clamp_min(1)).clamp(max=1.0)


def _positive_cumulative_histogram(units: Tensor, positive: Tensor, bins: int) -> Tensor:
    """As _SoftCumulativeHistogram over the positives alone, which are so few that gathering them is
    quicker.
    """
    where = positive.nonzero(as_tuple=True)
    edges = torch.arange(1, bins + 2, device=units.device, dtype=units.dtype)
    below = (edges - units[where].unsqueeze(-1)).clamp(0, 1)
    counts = units.new_zeros(*units.shape[:-1], bins + 1)
    return counts.index_put(where[:-1], below, accumulate=True)


def descriptor_distances(a: Tensor, b: Tensor, binary: bool) -> tuple[Tensor, float]:
    """Distances (..., M, N) of descriptors (..., M, D) and (..., N, D), and the largest there can
    be.

    Squared L2 distance of unit rows, or the Hamming distance of rows of +1 and -1.
    """
    similarity = a @ b.transpose(-1, -2)
    if binary:
        return (a.shape[-1] - similarity) / 2, float(a.shape[-1])
    return 2 - 2 * similarity, L2_RANGE


def straight_through_signs(boosted: Tensor) -> Tensor:
    """Signs as +1 and -1, with the gradient of the identity (Bengio et al., arXiv 1308.3432)."""
    signs = torch.where(boosted >= 0, 1.0, -1.0).to(boosted.dtype)
    return boosted + (signs - boosted).detach()


def soft_signs(boosted: Tensor, gain: float) -> Tensor:
    """What stands for signs: tanh(gain x output), as in HashNet (Cao et al., ICCV 2017).

    Its gradient is true: an output near 0, whose sign turns easily, counts little and moves most.
    """
    return torch.tanh(gain * boosted)


def booster_loss(
    ap: Tensor,
    raw_ap: Tensor,
    valid: Tensor,
    boost_weight: float,
    fastap_weight: float = 1.0,
    queries: Tensor | None = None,
) -> Tensor:
    """Mean over the valid queries of 1 - AP plus the weighted boost loss (equations 7 to 9).

    The boost loss, max(0, AP_raw / AP_boosted - 1), asks every descriptor to become no worse than
    it was.

    Args:
        ap: (...) average precision with the boosted descriptors.
        raw_ap: (...) with the descriptors that went in.
        valid: (...) bool, which queries have a positive.
        boost_weight: 10 in the paper.
        fastap_weight: 1 in the paper.
        queries: what to divide the sum by; the valid queries of all processes, where there are
            more. By default the valid ones here.
    """
    boost = (raw_ap / ap.clamp_min(1e-3) - 1).clamp_min(0)
    losses = fastap_weight * (1 - ap) + boost_weight * boost
    queries = valid.sum() if queries is None else queries
    return torch.where(valid, losses, 0.0).sum() / queries.clamp_min(1)


def matching_reward(
    distances: Tensor,
    largest: float,
    positive: Tensor,
    negative: Tensor,
    padding: Tensor,
    temperature: float,
    wrong_weight: float,
) -> Tensor:
    """The expected reward of matching mutual nearest neighbors, after DISK (Tyszkiewicz et al.,
    NeurIPS 2020).

    A feature picks its match in the other image with a probability that falls with the distance; a
    match is made where two pick each other. A right one is rewarded with 1 and a wrong one
    punished, so what is learnt is what matching does, the competitors of a match included.

    Args:
        distances: (B, M, N).
        largest: the largest distance there can be; distances are taken in quarters of it.
        positive, negative: (B, M, N) bool, which matches are right and wrong; others do not count.
        padding: (2, B, N) bool, which features of the two images are none.
        temperature: how sharply the probability falls.
        wrong_weight: what a wrong match costs.

    Returns:
        (B,) reward divided by the number of features of the first image that have a positive: 1 for
        a pair matched perfectly. 0 for a pair without positives.
    """
    logits = distances * (-temperature * 4 / largest)
    absent = padding[0].unsqueeze(-1) | padding[1].unsqueeze(-2)
    # The lowest finite number: a row of nothing but padding stays finite.
    logits = logits.masked_fill(absent, torch.finfo(logits.dtype).min)
    picked = torch.softmax(logits, dim=-1) * torch.softmax(logits, dim=-2)
    right, wrong = ((picked * which).sum((-2, -1)) for which in (positive, negative))
    return (right - wrong_weight * wrong) / positive.any(-1).sum(-1).clamp_min(1)
