"""Training of a table's touched rows, in NumPy from the optimizers' equations."""

import numpy as np


class RowReference:
    """A table of float64 that trains the rows of a batch, repeats summed first.

    Args:
        table: initial table.
        optimizer: `"sgd"`, `"adagrad"`, `"rowwise_adagrad"` or `"adam"`.
        rate: learning rate, a number or a function of the number of earlier steps.
        weight_decay: decoupled decay of touched rows.
        clipnorm: largest norm of the summed gradient of all rows.
        clipvalue: largest absolute component of a row's summed gradient.
    """

    def __init__(self, table, optimizer, rate=0.1, weight_decay=0.0, clipnorm=None, clipvalue=None):
        self.table = np.array(table, "float64")
        self.optimizer, self.rate, self.weight_decay = optimizer, rate, weight_decay
        self.clipnorm, self.clipvalue = clipnorm, clipvalue
        self.squares = np.full(self.table.shape, 0.1)
        self.row_squares = np.full((len(table), 1), 0.1)
        self.first, self.second = np.zeros_like(self.table), np.zeros_like(self.table)
        self.steps = 0

    def train(self, ids, gradient):
        """One step: `ids` of any shape, `gradient` of that shape and the width."""
        rate = self.rate(self.steps) if callable(self.rate) else self.rate
        self.steps += 1
        g = np.zeros_like(self.table)
        for row, part in zip(np.ravel(ids), np.reshape(gradient, (-1, self.table.shape[1])), strict=True):
            g[row] += part
        if self.clipvalue is not None:
            g = np.clip(g, -self.clipvalue, self.clipvalue)
        if self.clipnorm is not None:
            g *= min(1.0, self.clipnorm / np.linalg.norm(g))
        for row in sorted(set(np.ravel(ids).tolist())):
            self.table[row] -= rate * self.weight_decay * self.table[row]
            self.table[row] -= rate * self._direction(row, g[row])
        return self

    def _direction(self, row, g):
        if self.optimizer == "sgd":
            return g
        if self.optimizer == "adagrad":
            self.squares[row] += g**2
            return g / np.sqrt(self.squares[row] + 1e-7)
        if self.optimizer == "rowwise_adagrad":
            self.row_squares[row] += np.mean(g**2)
            return g / np.sqrt(self.row_squares[row] + 1e-7)
        self.first[row] = 0.9 * self.first[row] + 0.1 * g
        self.second[row] = 0.999 * self.second[row] + 0.001 * g**2
        bias = np.sqrt(1 - 0.999**self.steps) / (1 - 0.9**self.steps)
        return bias * self.first[row] / (np.sqrt(self.second[row]) + 1e-7)
