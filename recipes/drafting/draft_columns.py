"""A guess for every column of a table, from the names and values."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from ...datasets.kinds import COLUMNS
from ...datasets.raw_files.bad_rows import BadRows
from .column_draft import ColumnDraft
from .column_profile import ColumnProfile, profile_columns
from .input_names import input_names
from .name_words import AFTER, DAYS, LATE, OF_TIMES, OTHER_TIMES, OUTCOMES, SIDES, TASKS, TIMES, VERBS, among, words
from .time_form import UNREAD
from .value_kind import FEW, value_kind

ROLES = ("feature", "task", "time", "left out")
KINDS = tuple(COLUMNS)


def draft_columns(path: Path, rows: int, bad_rows: BadRows | None = None) -> list[ColumnDraft]:
    """A guess for every column of a table.

    Columns that cannot teach a model anything are left out. Columns of 0 and 1 whose names are those of outcomes become
    tasks; without such names the most likely column does. A column that is known only where a task came true is left
    out, since it gives the label away. The finest column of times that has a value in every row becomes `time`.

    Args:
        path: the table.
        rows: how many of its first rows are looked at.
        bad_rows: what counts the malformed rows among them, or `None`. Defaults to `None`.
    """
    profiles = profile_columns(path, rows, bad_rows)
    names = input_names([profile.name for profile in profiles])
    drafts = [ColumnDraft(profile, "", name) for profile, name in zip(profiles, names, strict=True)]
    for draft in drafts:
        _leave_out_useless(draft)
    _choose_tasks(_open(drafts))
    _choose_time(_open(drafts))
    for draft in _open(drafts):
        _choose_kind(draft)
        _leave_out_late(draft)
    for draft in _open(drafts):
        draft.role = "feature"
        draft.side = next((side for side, telling in SIDES.items() if among(draft.profile.name, telling)), None)
        if draft.profile.is_binary and among(draft.profile.name, VERBS):
            draft.note, draft.doubtful = "0 and 1: known before the impression, or an outcome?", True
    tasks = [draft for draft in drafts if draft.role == "task"]
    for draft in drafts:
        if draft.role in ("feature", "time"):
            _leave_out_leak(draft, tasks)
    return drafts


def ask(drafts: Sequence[ColumnDraft], answer: Callable[[str, str], str]) -> None:
    """Go through the guesses with a person.

    Args:
        drafts: the guesses; corrected in place.
        answer: called with a question and the guess; returns what the person says.
    """
    names = [draft.name for draft in drafts]
    for draft in drafts:
        draft.role = _answer(answer, f"{draft.profile}: feature, task, time or left out?", draft.role, ROLES)
        if draft.role == "feature":
            draft.kind = _answer(answer, f"  kind: {', '.join(KINDS)}?", draft.kind, KINDS)
            draft.side = _answer(answer, "  side: user, ad or context?", draft.side or "context", SIDES)
        elif draft.role == "task":
            given = _answer(answer, "  given which task? (none)", draft.given or "none", ["none", *names])
            draft.given = None if given == "none" else given
        draft.note, draft.doubtful = "", False


def _answer(answer: Callable[[str, str], str], question: str, guess: str, allowed: Collection[str]) -> str:
    said = answer(question, guess).strip()
    while said not in allowed:
        said = answer(f"  {said!r} is none of {', '.join(allowed)}. {question.strip()}", guess).strip()
    return said


def _open(drafts: Sequence[ColumnDraft]) -> list[ColumnDraft]:
    return [draft for draft in drafts if not draft.role]


def _leave_out_useless(draft: ColumnDraft) -> None:
    profile = draft.profile
    if not profile.name:
        draft.leave_out("a column without a name cannot be described")
    elif profile.name == "split":
        draft.leave_out("`--validation split` splits by it; rename it in the table if it is a feature", doubtful=True)
    elif profile.rows == 0:
        draft.leave_out("no value in the rows looked at")
    elif not profile.is_readable:
        draft.leave_out("values of this type are not read")
    elif profile.distinct == 1 and not profile.missing:
        draft.leave_out("the same value in every row")


def _choose_tasks(drafts: Sequence[ColumnDraft]) -> None:
    binary = [draft for draft in drafts if draft.profile.is_binary]
    called = [draft for draft in binary if among(draft.profile.name, TASKS)]
    for draft in called:
        draft.role, draft.note = "task", ""
    clicks = [draft for draft in called if among(draft.profile.name, "click clicked")]
    for draft in called:
        comes_after = clicks and draft is not clicks[0] and among(draft.profile.name, AFTER)
        if comes_after and draft.profile.only_where(clicks[0].profile):
            draft.given = clicks[0].name
            draft.note = f"1 only where {clicks[0].name} is 1"
    if called or not binary:
        return
    outcomes = [draft for draft in binary if among(draft.profile.name, OUTCOMES)]
    verbs = [draft for draft in binary if among(draft.profile.name, VERBS)]
    why = "no other column of 0 and 1"
    if len(binary) > 1:
        others = ", ".join(draft.name for draft in binary[:5])
        why = f"guessed among the columns of 0 and 1 ({others}): is it the label?"
    chosen = outcomes or ([verbs[0]] if len(verbs) == 1 else [_at_an_end(binary, drafts)])
    for draft in chosen:
        draft.role, draft.note, draft.doubtful = "task", why, len(binary) > 1


def _at_an_end(binary: Sequence[ColumnDraft], drafts: Sequence[ColumnDraft]) -> ColumnDraft:
    """The first or the last column, since labels stand there in most tables."""
    return binary[0] if binary[0] is drafts[0] else binary[-1]


def _choose_time(drafts: Sequence[ColumnDraft]) -> None:
    times = [draft for draft in drafts if _is_time(draft.profile)]
    for draft in times:
        if draft.profile.time_form == UNREAD:
            draft.leave_out(f"{UNREAD}; as YYYY-MM-DD hh:mm:ss it can be `time`", doubtful=True)
    times = sorted((draft for draft in times if not draft.role), key=_rank)
    for number, draft in enumerate(times):
        if number or (draft.profile.missing and among(draft.profile.name, OTHER_TIMES)):
            draft.leave_out("another column of times" if number else "times, but not of every row")
            continue
        draft.role = "time"
        draft.note = f"{draft.profile.time_form or 'times'}; rows are split in this order"
        sure = _is_called_time(draft.profile.name) and not draft.profile.missing
        draft.doubtful = not sure or among(draft.profile.name, OTHER_TIMES)


def _is_time(profile: ColumnProfile) -> bool:
    form = profile.time_form
    if form is None:
        return profile.is_number and profile.distinct > FEW and _is_called_time(profile.name)
    if not profile.is_number:
        return True
    if "since" in form:
        # Long numbers that span few years may be ids, whatever unit of time they could be.
        return profile.name.lower() != "id" and words(profile.name)[-1:] != ["id"]
    return among(profile.name, DAYS)


def _is_called_time(name: str) -> bool:
    return among(name, TIMES) and set(words(name)) <= {*TIMES.split(), *OF_TIMES.split()}


def _rank(draft: ColumnDraft) -> tuple[bool, bool, bool, int]:
    """Key to sort columns of times by: complete ones first, then times of the log, sure ones and fine ones."""
    profile = draft.profile
    guessed = "since" in (profile.time_form or "") and not _is_called_time(profile.name)
    return bool(profile.missing), among(profile.name, OTHER_TIMES), guessed, -profile.distinct


def _choose_kind(draft: ColumnDraft) -> None:
    draft.kind, draft.note, draft.doubtful = value_kind(draft.profile)
    for kind, column in COLUMNS.items():
        if column.suits(draft.kind, draft.profile):
            draft.kind = kind


def _leave_out_late(draft: ColumnDraft) -> None:
    profile = draft.profile
    if among(profile.name, LATE):
        draft.leave_out("its name sounds like something known only afterwards", doubtful=True)
    elif profile.is_binary and among(profile.name, OUTCOMES):
        draft.leave_out("its name sounds like an outcome; name it under tasks?", doubtful=True)
    elif profile.is_unique and not profile.is_fraction and not _is_list(draft):
        counts_up = not profile.is_number or among(profile.name, "id uid uuid index row key")
        draft.leave_out("a value of its own in every row: an id of the row, or a leak", doubtful=not counts_up)


def _is_list(draft: ColumnDraft) -> bool:
    """Whether rows have several tokens, which other rows have too."""
    separator = draft.profile.separator
    return draft.kind == "weighted" or (draft.kind == "sequence" and draft.profile.repeats_pieces(separator))


def _leave_out_leak(draft: ColumnDraft, tasks: Sequence[ColumnDraft]) -> None:
    for task in tasks:
        if draft.profile.is_binary and draft.profile.equals(task.profile):
            draft.leave_out(f"it says what {task.name} says", doubtful=True)
        elif draft.profile.tells(task.profile):
            draft.leave_out(f"there, or not 0, only where {task.name} is 1: known only afterwards", doubtful=True)
