"""Training of a table's touched rows, in NumPy from the optimizers' equations."""

import numpy as np


class RowReference:
    """A table of float64 that trains the rows of a batch, repeats summed first.

    Args:
        table: initial table.
        optimizer: `"sgd"`, `"adagrad"`, `"rowwise_adagrad"`, `"adam"` or `"ftrl"`.
        l1: L1 term of FTRL.
        l2: L2 term of FTRL.
        rate: learning rate, a number or a function of the number of earlier steps.
        weight_decay: decoupled decay of touched rows.
        clipnorm: largest norm of the summed gradient of all rows.
        clipvalue: largest absolute component of a row's summed gradient.
    """

    def __init__(self, table, optimizer, rate=0.1, weight_decay=0.0, clipnorm=None, clipvalue=None, l1=0, l2=0):
        self.table = np.array(table, "float64")
        self.optimizer, self.rate, self.weight_decay = optimizer, rate, weight_decay
        self.clipnorm, self.clipvalue = clipnorm, clipvalue
        self.squares = np.full(self.table.shape, 0.1)
        self.row_squares = np.full((len(table), 1), 0.1)
        self.first, self.second = np.zeros_like(self.table), np.zeros_like(self.table)
        self.l1, self.l2 = l1, l2
        # FTRL begins at the initial rows: with `n = 0` its formula makes them of this `z`.
        self.n = np.zeros_like(self.table)
        self.z = -self.table * (1 / rate + l2) - np.sign(self.table) * l1 if optimizer == "ftrl" else None
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
            if self.optimizer == "ftrl":
                self._follow_the_leader(row, g[row], rate)
                continue
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

    def _follow_the_leader(self, row, g, alpha):
        """Algorithm 1 of McMahan et al. 2013, one coordinate after the other."""
        for i, g_i in enumerate(g):
            sigma = (np.sqrt(self.n[row, i] + g_i**2) - np.sqrt(self.n[row, i])) / alpha
            self.z[row, i] += g_i - sigma * self.table[row, i]
            self.n[row, i] += g_i**2
            z, n = self.z[row, i], self.n[row, i]
            if abs(z) <= self.l1:
                self.table[row, i] = 0.0
            else:
                self.table[row, i] = -1 / ((1 + np.sqrt(n)) / alpha + self.l2) * (z - np.sign(z) * self.l1)
