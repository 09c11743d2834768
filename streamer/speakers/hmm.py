"""The forward filter of a hidden Markov model whose every switch goes through the prior.

With P(next = j | now = i) = stay * [i = j] + (1 - stay) * prior_j the forward step needs no matrix: it costs one
vector operation over the states, however many speakers there are (Rabiner, 1989, for the recursion).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streamer.speakers.scoring import log_softmax

LogProbabilities = NDArray[np.float64]


def relaxed(log_posterior: LogProbabilities, log_prior: LogProbabilities, stay: float) -> LogProbabilities:
    """The belief after one transition in which a speaker goes on with probability `stay`: (states,)."""
    if stay <= 0:
        return log_prior
    if stay >= 1:
        return log_posterior
    # In probabilities: with very many states, two exponentials and a logarithm cost a third of `logaddexp`.
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(stay * np.exp(log_posterior) + (1 - stay) * np.exp(log_prior)))


def updated(log_posterior: LogProbabilities, evidence: NDArray[np.floating]) -> LogProbabilities:
    """Bayes' rule: the belief after log-likelihood ratios (states,) were heard."""
    return log_softmax(log_posterior + evidence)
