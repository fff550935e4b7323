"""Predictions with effects that are known."""

import numpy as np
import polars as pl


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


def prediction_frame(rng, rows=3000, users=300, skill=(0.5, 0.6), seed_noise=0.2):
    """Two models that know a user's logit in part, each with noise of its own."""
    user = rng.integers(0, users, rows)
    logit = rng.normal(0.0, 1.0, users)[user]
    tab = rng.choice(["home", "feed", "search"], rows, p=[0.6, 0.3, 0.1])
    click = (rng.random(rows) < sigmoid(logit)).astype(float)
    like = np.where(click == 1, (rng.random(rows) < 0.3).astype(float), np.nan)
    frame = {"user": user, "tab": tab, "bid": rng.gamma(1.0, 1.0, rows), "click": click, "like": like}
    for model, share in zip(("old", "new"), skill, strict=True):
        frame[f"{model}:click"] = sigmoid(share * logit + rng.normal(0, seed_noise, rows))
        frame[f"{model}:like"] = sigmoid(-0.85 + 0.1 * share * logit)
    return pl.DataFrame(frame)
