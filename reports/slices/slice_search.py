"""The worst slices of one half, in as few descriptions as tell them apart."""

import dataclasses

import numpy as np
from scipy import stats

from ..statistics import Estimate
from .half import Half
from .lattice import Cells, Lattice, parents_of
from .ratios import CellSums, Ratios, steps
from .slice_figures import SliceFigures

# A slice is "clearly" worse from so many standard errors on.
CLEAR = 2.0
# Two slices are the same rows under two names if so much of their union is in both.
SAME_ROWS = 0.8
# For each slice that may be reported, how many of the worst are looked at.
LOOKED_AT = 5


@dataclasses.dataclass
class FoundSlice:
    """A slice that the search found.

    Args:
        literals: `{column: number of the value}`.
        score: how many standard errors it is worse than all other rows.
        also: other slices of almost the same rows.
    """

    literals: dict[str, int]
    score: float
    also: list[dict[str, int]] = dataclasses.field(default_factory=list)

    def below(self, other: "FoundSlice") -> bool:
        """Whether it has all literals of another, and more."""
        return len(self.literals) > len(other.literals) and other.literals.items() <= self.literals.items()


@dataclasses.dataclass(frozen=True)
class SliceSearch:
    """Searches the lattice's half; `discover_slices` says by which rules.

    Args:
        lattice: combinations of columns.
        min_positives: least sum of labels, and of what lacks to 1.
        min_users: least number of buckets of users.
        min_effect: least effect.
        most: how many slices to find.
    """

    lattice: Lattice
    min_positives: float
    min_users: int
    min_effect: float
    most: int

    def candidates(self, objectives: tuple[str, ...], max_depth: int) -> tuple[dict[str, list[FoundSlice]], int]:
        """By objective, slices that are clearly bad and worse than the rest of each parent; and how many were measured.

        The clearest come first.
        """
        found: dict[str, list[FoundSlice]] = {objective: [] for objective in objectives}
        measured = 0
        for cells, codes in self.lattice.combinations(max_depth):
            sums = CellSums.of(self.lattice.half, codes, len(cells))
            supported = self._supported(sums)
            measured += int(np.count_nonzero(supported & ~self.lattice.is_rare(cells)))
            if np.count_nonzero(supported) > 1:
                chosen = Cells(cells.columns, cells.values[supported])
                for objective in objectives:
                    found[objective] += self._worst(chosen, Ratios.of(sums.only(supported), objective))
        for slices in found.values():
            # Sorting is stable: of the same rows' names, the one whose columns were given first comes first.
            slices.sort(key=lambda s: (-round(s.score, 6), len(s.literals)))
        return found, measured

    def _supported(self, sums: CellSums) -> np.ndarray:
        return sums.supported(self.lattice.min_rows, self.min_positives, self.min_users)

    def _worst(self, cells: Cells, ratios: Ratios) -> list[FoundSlice]:
        value, _ = ratios.moves()
        score = _beyond(ratios, np.zeros(len(cells), int), 1)
        good = (_least(cells, ratios) >= CLEAR) & (value >= self.min_effect) & ~self.lattice.is_rare(cells)
        return [FoundSlice(self.lattice.originals(cells, int(n)), float(score[n])) for n in np.flatnonzero(good)]

    def merged(self, candidates: list[FoundSlice], objective: str) -> list[FoundSlice]:
        """Candidates that are still so without the rows of the others that are kept."""
        kept: list[FoundSlice] = []
        masks: list[np.ndarray] = []
        for slice_ in candidates[: LOOKED_AT * self.most]:
            mask = self.lattice.half.mask(slice_.literals)
            others = [masks[n] for n, other in enumerate(kept) if not slice_.below(other)]
            if self._clear_without(slice_, mask, others, objective):
                kept.append(slice_)
                masks.append(mask)
            else:
                _add_names(slice_, mask, kept, masks)
            if len(kept) == self.most:
                break
        for place in reversed(range(len(kept))):
            slice_ = kept[place]
            others = [masks[n] for n, other in enumerate(kept) if n != place and not slice_.below(other)]
            if not self._clear_without(slice_, masks[place], others, objective):
                mask = masks[place]
                del kept[place], masks[place]
                _add_names(slice_, mask, kept, masks)
        return kept

    def _clear_without(self, slice_: FoundSlice, mask: np.ndarray, others: list[np.ndarray], objective: str) -> bool:
        """Whether a slice is a candidate among the rows that are not in others."""
        covered = np.any(others, axis=0) if others else np.zeros(len(mask), bool)
        if not (covered & mask).any():
            return True
        columns = tuple(slice_.literals)
        codes = np.where(covered, -1, self.lattice.codes(self.lattice.half, columns))
        cells = self.lattice.cells(columns)
        sums = CellSums.of(self.lattice.half, codes, len(cells))
        supported = self._supported(sums)
        place = self.lattice.place(cells, slice_.literals)
        if not supported[place] or np.count_nonzero(supported) < 2:
            return False
        ratios = Ratios.of(sums.only(supported), objective)
        number, (value, _) = int(np.count_nonzero(supported[:place])), ratios.moves()
        least = _least(Cells(columns, cells.values[supported]), ratios)
        return bool(least[number] >= CLEAR and value[number] >= self.min_effect)

    def figures(self, half: Half, literals: dict[str, int], objective: str) -> SliceFigures | None:
        """What a half says of a slice; `None` where it has too few users, positives or negatives there."""
        columns = tuple(literals)
        cells = self.lattice.cells(columns)
        sums = CellSums.of(half, self.lattice.codes(half, columns), len(cells), seeds=True)
        place = self.lattice.place(cells, literals)
        supported = sums.supported(1, self.min_positives, self.min_users)
        if not supported[place] or np.count_nonzero(supported) < 2:
            return None
        values, sums = cells.values[supported], sums.only(supported)
        number = int(np.count_nonzero(supported[:place]))
        ratios = Ratios.of(sums, objective)
        this = ratios.at([number])
        effect, beyond = this.estimate(), []
        for numbers, parents in parents_of(values):
            rest = ratios.grouped(numbers, parents).at([int(numbers[number])]).less(this)
            beyond.append(this.difference(rest))
        if effect is None or any(found is None for found in beyond):
            return None
        least = max((found for found in beyond if found is not None), key=one_sided)
        return SliceFigures.of(sums.only(np.array([number])), objective, effect, least)


def _add_names(slice_: FoundSlice, mask: np.ndarray, kept: list[FoundSlice], masks: list[np.ndarray]) -> None:
    """List a slice under the kept one whose rows are almost the same, if there is one."""
    shares = [np.count_nonzero(mask & other) / np.count_nonzero(mask | other) for other in masks]
    if shares and max(shares) >= SAME_ROWS:
        kept[int(np.argmax(shares))].also += [slice_.literals, *slice_.also]


def _least(cells: Cells, ratios: Ratios) -> np.ndarray:
    """How many standard errors each cell is worse, than nothing or than the rest of a parent, whichever is least."""
    least = steps(*ratios.moves())
    for numbers, parents in parents_of(cells.values):
        least = np.minimum(least, _beyond(ratios, numbers, parents))
    return least


def _beyond(ratios: Ratios, numbers: np.ndarray, parents: int) -> np.ndarray:
    """How many standard errors each cell is worse than the other cells of its parent."""
    value, moves = ratios.moves()
    rest, rest_moves = ratios.grouped(numbers, parents).at(numbers).less(ratios).moves()
    return steps(value - rest, moves - rest_moves)


def one_sided(estimate: Estimate) -> float:
    """Chance of so large a value, or a larger one, without an effect."""
    if estimate.standard_error == 0.0:
        return 0.0 if estimate.value > estimate.null else 1.0
    distance = (estimate.value - estimate.null) / estimate.standard_error
    return float(stats.t.sf(distance, estimate.degrees_of_freedom))
