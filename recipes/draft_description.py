"""A first description of a table, guessed from the names and values of its columns."""

import dataclasses
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from .column_profile import ColumnProfile, profile_columns

REVIEW = "REVIEW"
_SIDES = {
    "user": "user uid customer member visitor viewer buyer age gender sex income tenure profile history hist last past",
    "ad": "ad ads item product campaign creative advertiser brand category cat price bid video author title sku seller "
    "shop merchant format banner content",
    "context": "hour day weekday month site page position pos slot app publisher placement session query referrer "
    "network device browser os channel connection",
}
_TASKS = (
    "click clicked conversion converted convert purchase purchased order ordered buy bought sale sold like liked share "
    "shared follow followed install installed signup signed subscribe subscribed view viewed label target y engaged"
)
_AFTER = "conversion converted convert purchase purchased order ordered buy bought sale sold install installed signup"
_TIMES = "timestamp time ts date datetime"
_OF_TIMES = "event click impression request log server unix utc created at ms us s sec"
_LATE = "revenue amount dwell watch watched watching play played stay payout delay refund"
_OUTCOMES = (
    "comment commented forward forwarded hate enter entered dislike report reported favorite favourite collect save "
    "saved cart reply replied finish finished complete completed skip skipped hide hidden block blocked download"
)
_LISTS = "history hist last past tags tag list ids items keywords words title tokens"
_SEPARATORS = ("|", ";", ",", " ")
_ALSO_IN_PROSE = (",", " ")
_FEW = 50


@dataclasses.dataclass
class ColumnDraft:
    """What a column is guessed to be.

    Args:
        profile: what its values look like.
        role: `"feature"`, `"task"`, `"time"` or `"left out"`.
        kind: kind of a feature.
        side: side of a feature.
        given: parent of a task, or `None`.
        note: why, for the reader of the draft; starts with `REVIEW` where it was guessed.

    Example:
    >>> import polars as pl
    >>> profile = ColumnProfile("user_id", pl.Series(["a", "b", "a"]))
    >>> ColumnDraft(profile, "feature", "categorical", "user").name
    'user_id'
    """

    profile: ColumnProfile
    role: str
    kind: str = "categorical"
    side: str = "context"
    given: str | None = None
    note: str = ""

    @property
    def name(self) -> str:
        """The column's name as a model input may have it."""
        name = re.sub(r"[\W_]+", "_", self.profile.name, flags=re.ASCII).strip("_") or "column"
        return f"column_{name}" if name[0].isdigit() else name


def draft_columns(path: Path, rows: int) -> list[ColumnDraft]:
    """A guess for every column of a table.

    Args:
        path: the table.
        rows: how many of its first rows are looked at.
    """
    profiles = profile_columns(path, rows)
    drafts = [_draft(profile) for profile in profiles]
    tasks = [draft for draft in drafts if draft.role == "task"]
    clicks = [draft for draft in tasks if _words(draft.profile.name) & {"click", "clicked"}]
    for draft in tasks:
        if clicks and draft is not clicks[0] and _words(draft.profile.name) & set(_AFTER.split()):
            parent = clicks[0]
            if draft.profile.only_where(parent.profile):
                draft.given = parent.name
                draft.note += f"; 1 only where {parent.name} is 1"
    times = [draft for draft in drafts if draft.role == "time"]
    for draft in times[1:]:
        draft.role, draft.note = "left out", "a second column of times"
    return drafts


def ask(drafts: Sequence[ColumnDraft], answer: Callable[[str, str], str]) -> None:
    """Go through the guesses with a person.

    Args:
        drafts: the guesses; corrected in place.
        answer: called with a question and the guess; returns what the person says.
    """
    for draft in drafts:
        draft.role = answer(f"{draft.profile}: feature, task, time or left out?", draft.role)
        if draft.role == "feature":
            draft.kind = answer("  kind: numeric, categorical, sequence or vector?", draft.kind)
            draft.side = answer("  side: user, ad or context?", draft.side)
        elif draft.role == "task":
            draft.given = answer("  given which task? (none)", draft.given or "none")
            draft.given = None if draft.given == "none" else draft.given
        draft.note = ""


def to_yaml(drafts: Sequence[ColumnDraft], source: str) -> str:
    """The description as YAML with comments, ready to be corrected by a person.

    Args:
        drafts: a guess for every column.
        source: what was looked at, for the heading.
    """
    lines = [
        f"# Drafted from {source}.",
        f"# {REVIEW} marks what was guessed from a name. kind: numeric, categorical, sequence, vector.",
        "# side: user (who sees it), ad (what is shown), context (where and when).",
        "features:",
        *(line for draft in drafts if draft.role == "feature" for line in _feature(draft)),
        "tasks:",
        *(line for draft in drafts if draft.role == "task" for line in _task(draft)),
    ]
    if not any(draft.role == "task" for draft in drafts):
        lines.append(f"  # {REVIEW}: no column of 0 and 1 has a telling name. Name the label: - {{name: ...}}")
    for draft in drafts:
        if draft.role == "time":
            time = yaml.safe_dump({"time": draft.profile.name}).strip()
            lines.append(f"{time}  # {draft.note or draft.profile.summary}")
    left_out = [draft for draft in drafts if draft.role == "left out"]
    if left_out:
        lines.append("# Left out:")
        lines += [f"# - {draft.profile.name}: {draft.note or draft.profile.summary}" for draft in left_out]
    return "\n".join(lines) + "\n"


def _feature(draft: ColumnDraft) -> list[str]:
    profile = draft.profile
    entry: dict[str, str | int] = {"name": draft.name, "kind": draft.kind, "side": draft.side}
    entry |= {} if draft.name == profile.name else {"raw": profile.name}
    if draft.kind == "sequence":
        entry |= {"length": profile.pieces(_separator(profile))}
        entry |= {"separator": _separator(profile)} if profile.is_text else {}
    elif draft.kind == "vector":
        entry |= {"dim": profile.pieces("")}
    elif draft.kind == "categorical":
        entry |= {"min_count": 2} if profile.distinct > _FEW else {}
    return [_line(entry, draft)]


def _task(draft: ColumnDraft) -> list[str]:
    entry: dict[str, str | int] = {"name": draft.name}
    entry |= {"given": draft.given} if draft.given else {}
    entry |= {} if draft.name == draft.profile.name else {"raw": draft.profile.name}
    return [_line(entry, draft)]


def _line(entry: dict[str, str | int], draft: ColumnDraft) -> str:
    fields = yaml.safe_dump(entry, default_flow_style=True, sort_keys=False, width=10_000, allow_unicode=True).strip()
    return f"  - {fields}  # {'; '.join(part for part in (draft.note, draft.profile.summary) if part)}"


def _draft(profile: ColumnProfile) -> ColumnDraft:
    words = _words(profile.name)
    if profile.rows == 0:
        return ColumnDraft(profile, "left out", note="no value in the rows looked at")
    if profile.distinct == 1 and not profile.missing:
        return ColumnDraft(profile, "left out", note="the same value in every row")
    if profile.is_binary and words & set(_TASKS.split()):
        return ColumnDraft(profile, "task", note=f"{REVIEW}: 0 and 1, and a telling name")
    if profile.is_time or (profile.is_number and profile.distinct > _FEW and _names_a_time(words)):
        return ColumnDraft(profile, "time", note=f"{REVIEW}: rows are split in the order of this column")
    if words & set(_LATE.split()):
        return ColumnDraft(profile, "left out", note=f"{REVIEW}: its name sounds like something known only afterwards")
    if profile.is_binary and words & set(_OUTCOMES.split()):
        return ColumnDraft(profile, "left out", note=f"{REVIEW}: its name sounds like an outcome; name it under tasks?")
    if profile.is_number and words & {"date", "dt"}:
        return ColumnDraft(profile, "left out", note="a date never comes back")
    if profile.is_unique and not profile.is_fraction:
        return ColumnDraft(profile, "left out", note="a value of its own in every row: an id of the row, or a leak")
    draft = ColumnDraft(profile, "feature", _kind(profile, words), *_side(words))
    if profile.is_binary:
        draft.note += "; 0 and 1: known before the impression?"
    return draft


def _names_a_time(words: set[str]) -> bool:
    return bool(words & set(_TIMES.split())) and words <= {*_TIMES.split(), *_OF_TIMES.split(), ""}


def _kind(profile: ColumnProfile, words: set[str]) -> str:
    if profile.is_list:
        return "vector" if profile.is_fraction and profile.has_one_length else "sequence"
    if not profile.is_number:
        return "sequence" if profile.is_text and _separator(profile) else "categorical"
    names_things = words & {"id", "code", "type", "category", "cat", "hour", "weekday", "uid"}
    return "categorical" if not profile.is_fraction and (names_things or profile.distinct <= _FEW) else "numeric"


def _side(words: set[str]) -> tuple[str, None, str]:
    for side, telling in _SIDES.items():
        if words & set(telling.split()):
            return side, None, f"{REVIEW}: side guessed from the name"
    return "context", None, f"{REVIEW}: the name tells no side"


def _separator(profile: ColumnProfile) -> str:
    """The separator that most values have, or nothing. Commas and spaces may be prose."""
    if not profile.is_text:
        return ","
    names_a_list = _words(profile.name) & set(_LISTS.split())
    return next(
        (
            sign
            for sign in _SEPARATORS
            if profile.share_with(sign) > 0.5
            and (names_a_list or sign not in _ALSO_IN_PROSE or (sign == "," and profile.repeats_pieces(sign)))
        ),
        "",
    )


def _words(name: str) -> set[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return set(re.split(r"[\W_\d]+", spaced.lower()))
