# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Losses of whole batches of image pairs.

They are those of FeatureBooster (arXiv 2211.15069, section 3.3), a reward of matching, and a
generalized cross-entropy of matching.
"""

from __future__ import annotations

import torch
from torch import Tensor

BINS = 10
"""Bins of FastAP's histogram, as in the paper."""
L2_RANGE = 4.0
"""Largest squared distance of two unit vectors."""
GCE_POWER = 0.45
"""Exponent q of the generalized cross-entropy: 0 is the logarithm, 1 the mean absolute error."""


class _SoftCumulativeHistogram(torch.autograd.Function):
    """Soft count of the distances below each bin's edge: the running sum of FastAP's histogram.

    FastAP counts a distance u, in units of bins, with weight max(0, 1 - |u - l|) in bin l. Summed
    up to bin l this is clamp(l + 1 - u, 0, 1), whose derivative is -1 in the bin of u and 0 in the
    others. So neither direction needs the (bins, N, N) tensor that the definition suggests.
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
        # NaN lies in no bin; the loss is NaN then, which the trainer tells.
        lies_in = distances.floor().nan_to_num_(ctx.bins + 1).clamp_(0, ctx.bins + 1).long()
        return -padded.gather(-1, lies_in), None


def fast_ap(
    distances: Tensor, positive: Tensor, negative: Tensor, largest: float, bins: int = BINS
) -> Tensor:
    """Return the average precision of each query.

    It is computed from soft histograms (FastAP, Cakir et al., CVPR 2019, equation 8).

    Args:
        distances: (..., M, N), query by candidate.
        positive: (..., M, N) bool, candidates that show the query's point.
        negative: (..., M, N) bool, candidates that do not; those that are neither do not count.
        largest: Largest possible distance.
        bins: Number of bins of the histogram.

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
    """Return the cumulative histogram (..., M, bins + 1) of the positives.

    They are so few that gathering them is quicker than :class:`_SoftCumulativeHistogram`.
    """
    where = positive.nonzero(as_tuple=True)
    edges = torch.arange(1, bins + 2, device=units.device, dtype=units.dtype)
    below = (edges - units[where].unsqueeze(-1)).clamp(0, 1)
    counts = units.new_zeros(*units.shape[:-1], bins + 1)
    return counts.index_put(where[:-1], below, accumulate=True)


def pairwise_distances(a: Tensor, b: Tensor, binary: bool) -> tuple[Tensor, float]:
    """Return distances with a gradient, and the largest possible one.

    Args:
        a: (..., M, D) unit rows, or rows of +1 and -1.
        b: (..., N, D) likewise.
        binary: Whether the rows are signs.

    Returns:
        (..., M, N) squared L2 distances, or Hamming distances; and their largest possible value.
    """
    similarity = a @ b.transpose(-1, -2)
    if binary:
        return (a.shape[-1] - similarity) / 2, float(a.shape[-1])
    return 2 - 2 * similarity, L2_RANGE


def straight_through_signs(boosted: Tensor) -> Tensor:
    """Return signs as +1 and -1, with the gradient of the identity (arXiv 1308.3432)."""
    signs = torch.where(boosted >= 0, 1.0, -1.0).to(boosted.dtype)
    return boosted + (signs - boosted).detach()


def soft_signs(boosted: Tensor, gain: float) -> Tensor:
    """Return tanh(gain x output) in place of signs, as in HashNet (Cao et al., ICCV 2017).

    Its gradient is exact: an output near 0, whose sign flips easily, counts little and moves most.
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
    """Return the mean over the valid queries of 1 - AP plus the boost loss (equations 7 to 9).

    The boost loss, max(0, AP_raw / AP_boosted - 1), penalizes descriptors that become worse.

    Args:
        ap: (...) average precision with the boosted descriptors.
        raw_ap: (...) average precision with the raw descriptors.
        valid: (...) bool, queries that have a positive.
        boost_weight: Weight of the boost loss, 10 in the paper.
        fastap_weight: Weight of 1 - AP, 1 in the paper.
        queries: Number of valid queries of all processes, or None for those given.
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
    """Return the expected reward of matching mutual nearest neighbors.

    A feature picks its match in the other image with a probability that falls with the distance; a
    match is made where two pick each other. A right match is rewarded with 1 and a wrong one costs,
    so the loss is what matching does with the descriptors. The idea is DISK's (Tyszkiewicz et al.,
    NeurIPS 2020).

    Args:
        distances: (B, M, N).
        largest: Largest possible distance; distances are taken in quarters of it.
        positive: (B, M, N) bool, matches that are right.
        negative: (B, M, N) bool, matches that are wrong; those that are neither do not count.
        padding: (2, B, N) bool, True where there is no feature.
        temperature: How sharply the probability falls.
        wrong_weight: Cost of a wrong match.

    Returns:
        (B,) reward divided by the number of features of the first image that have a positive: 1 for
        a pair matched perfectly, 0 for a pair without positives.
    """
    logits = distances * (-temperature * 4 / largest)
    absent = padding[0].unsqueeze(-1) | padding[1].unsqueeze(-2)
    # The lowest finite number keeps a row of nothing but padding finite.
    logits = logits.masked_fill(absent, torch.finfo(logits.dtype).min)
    picked = torch.softmax(logits, dim=-1) * torch.softmax(logits, dim=-2)
    right, wrong = ((picked * which).sum((-2, -1)) for which in (positive, negative))
    return (right - wrong_weight * wrong) / positive.any(-1).sum(-1).clamp_min(1)


def generalized_cross_entropy(
    first: Tensor,
    second: Tensor,
    positive: Tensor,
    negative: Tensor,
    scale: float,
    wrong_weight: float,
    positives: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the generalized cross-entropy of a dual softmax, and a cost of wrong matches.

    The probability p of a match is the product of its softmax over the row and over the column. A
    positive costs (1 - p^q) / q (Zhang and Sabuncu, NeurIPS 2018), which, unlike the logarithm,
    leaves hopeless positives alone; a negative costs ``wrong_weight`` times p. The gradient is in
    closed form, and no more than one pair's matrices are held at a time.

    Args:
        first: (P, M, D) descriptors of the first images, of length 1 or less.
        second: (P, N, D) likewise of the second images.
        positive: (P, M, N) bool, matches that are right.
        negative: (P, M, N) bool, matches that are wrong; those that are neither do not count.
        scale: Factor of the inner products in the softmax; at most 80, or small exponentials
            underflow.
        wrong_weight: Cost of a wrong match.
        positives: Number of positives of all processes, or None for those given.

    Returns:
        Loss divided by the number of positives; and without gradient, the expected number of wrong
        matches and the sum of the positives' probabilities, divided likewise.
    """
    count = (positive.sum() if positives is None else positives).clamp_min(1)
    return _GeneralizedCrossEntropy.apply(
        first, second, positive, negative, scale, wrong_weight, count
    )


class _GeneralizedCrossEntropy(torch.autograd.Function):
    """The loss with its gradient, pair by pair: a pair's matrices fit into a processor's cache."""

    @staticmethod
    def forward(
        ctx,
        first: Tensor,
        second: Tensor,
        positive: Tensor,
        negative: Tensor,
        scale: float,
        wrong_weight: float,
        count: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        counted = positive | negative
        # Costs of the positives, expected wrong matches, probabilities of the positives.
        sums = first.new_zeros(3)
        of_first, of_second = torch.empty_like(first), torch.empty_like(second)
        # For all pairs at once: each call of nonzero waits for a GPU.
        _, i, j = positive.nonzero(as_tuple=True)
        sizes = positive.sum((1, 2)).tolist()
        places = zip(i.split(sizes), j.split(sizes), strict=True)
        for pair, (a, b, where) in enumerate(zip(first, second, places, strict=True)):
            exponentials = (a @ b.T).sub_(1).mul_(scale).exp_().mul_(counted[pair])
            smallest = torch.finfo(exponentials.dtype).tiny
            rows = exponentials.sum(1, keepdim=True).clamp_min_(smallest)
            columns = exponentials.sum(0, keepdim=True).clamp_min_(smallest)
            probabilities = (exponentials / rows).mul_(exponentials / columns)
            right = probabilities[where]
            powers = right.pow(GCE_POWER)
            probabilities[where] = 0
            sums += torch.stack([(1 - powers).sum(), probabilities.sum(), right.sum()])
            # From here on the matrix is p times the derivative of the loss by p.
            gradient = probabilities.mul_(wrong_weight)
            gradient[where] = -powers
            pull = gradient.sum(1, keepdim=True) / rows + gradient.sum(0, keepdim=True) / columns
            gradient.mul_(2).sub_(exponentials.mul_(pull)).mul_(scale / count)
            torch.mm(gradient, b, out=of_first[pair])
            torch.mm(gradient.T, a, out=of_second[pair])
        ctx.save_for_backward(of_first, of_second)
        cost, wrong, probability = (sums / count).unbind()
        ctx.mark_non_differentiable(wrong, probability)
        return cost / GCE_POWER + wrong_weight * wrong, wrong, probability

    @staticmethod
    def backward(ctx, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        of_first, of_second = ctx.saved_tensors
        return of_first * gradient, of_second * gradient, None, None, None, None, None
