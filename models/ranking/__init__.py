"""Scores many ads for one user, and computes what depends on the user alone once.

A request holds one user's columns and many candidates' (ads'). Everything here follows from two facts. What reads
columns of the user alone is the same for all candidates, so it needs one row a request. And a dense layer is linear in
its inputs: `[u, a] K = u Kᵤ + a Kₐ`, so the user's product is needed once, too.

- `CandidateRanker` is the way in. It checks and embeds the columns, and runs the model's own `RankingNetwork`.
- `CandidateCalls` calls the network's layers on values of both kinds: it knows which layers can be split.
- `Columns` is what a layer that can be split reads: columns of the user and of the candidates, not joined yet.
- `crosses_by_side` splits all the crosses of DCNv2, which are not linear, for one user with many candidates.

To let a layer or backbone of another kind be split, add a function to `_SPLIT` in `candidate_calls.py`. Without one a
layer gets the user's values repeated, which is always right.
"""

from .candidate_ranker import REQUEST_SIDES, CandidateRanker
from .candidate_rows import Arranged, arrange_anew

__all__ = ["REQUEST_SIDES", "Arranged", "CandidateRanker", "arrange_anew"]
