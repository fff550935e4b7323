"""A drafted description of a table as YAML."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from ...datasets import TableDescription
from ...datasets.kinds import COLUMNS
from ...reports.visible_text import visible_text
from .column_draft import ColumnDraft

REVIEW = "REVIEW"
_NAMED = 8


def to_yaml(drafts: Sequence[ColumnDraft], source: str) -> str:
    """The description as YAML with comments, ready to be used and to be corrected by a person.

    `REVIEW` marks only what is in doubt.

    Args:
        drafts: a guess for every column.
        source: what was looked at, for the heading.

    Raises:
        ValueError: if the description cannot be read back, as it can be if the drafts' answers fit together.
    """
    features = [draft for draft in drafts if draft.role == "feature"]
    tasks = [draft for draft in drafts if draft.role == "task"]
    lines = [
        f"# Drafted from {visible_text(source)}. kind: {', '.join(COLUMNS)}.",
        "# side: user (who sees it), ad (what is shown), context (where and when).",
        *_sideless([draft.name for draft in features if draft.side is None], len(features)),
        *_entries("features", [_feature(draft) for draft in features], f"# {REVIEW}: every column is left out, below."),
        *_entries("tasks", [_task(draft) for draft in tasks], f"# {REVIEW}: {_no_task(features)}"),
        *_time([draft for draft in drafts if draft.role == "time"]),
    ]
    left_out = [draft for draft in drafts if draft.role == "left out"]
    if left_out:
        lines.append("# Left out:")
        lines += [
            f"# - {visible_text(draft.profile.name) or '(without a name)'}: {_comment(draft, summary=not draft.note)}"
            for draft in left_out
        ]
    text = "\n".join(lines) + "\n"
    _check(text)
    return text


def _sideless(names: Sequence[str], features: int) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    which = "any feature" if len(names) == features else ", ".join(names[:_NAMED]) + more
    return [f"# {REVIEW}: no name tells the side of {which}; context is drafted."]


def _entries(key: str, entries: Sequence[str], none: str) -> list[str]:
    return [f"{key}:", *(f"  - {entry}" for entry in entries)] if entries else [f"{key}: []  {none}"]


def _no_task(features: Sequence[ColumnDraft]) -> str:
    two = [visible_text(draft.profile.name) for draft in features if draft.profile.distinct == 2]
    found = f" ({', '.join(two[:5])}: two values each; write them as 0 and 1)" if two else ""
    return f"no column holds 0 and 1{found}. Name the label: tasks: [COLUMN]"


def _time(times: Sequence[ColumnDraft]) -> list[str]:
    if not times:
        return ["# time: no column of times was found, so rows are split in the order of the file."]
    return [f"{_flow({'time': draft.profile.name})[1:-1]}  # {_comment(draft)}" for draft in times[:1]]


def _feature(draft: ColumnDraft) -> str:
    profile = draft.profile
    entry: dict[str, Any] = {"name": draft.name, "kind": draft.kind, "side": draft.side or "context"}
    entry |= {} if draft.name == profile.name else {"raw": profile.name}
    entry |= COLUMNS[draft.kind].draft(profile)
    return f"{_flow(entry)}  # {_comment(draft, remark=COLUMNS[draft.kind].remark(profile))}"


def _task(draft: ColumnDraft) -> str:
    entry: dict[str, str | int] = {"name": draft.name}
    entry |= {"given": draft.given} if draft.given else {}
    entry |= {} if draft.name == draft.profile.name else {"raw": draft.profile.name}
    return f"{_flow(entry)}  # {_comment(draft)}"


def _comment(draft: ColumnDraft, summary: bool = True, remark: str = "") -> str:
    mark = f"{REVIEW}: " if draft.doubtful else ""
    parts = (visible_text(draft.note), remark, draft.profile.summary if summary else "")
    return mark + "; ".join(part for part in parts if part)


def _flow(entry: Mapping[str, Any]) -> str:
    """One line of YAML."""
    options: dict[str, Any] = {"default_flow_style": True, "sort_keys": False, "width": float("inf")}
    line = yaml.safe_dump(dict(entry), allow_unicode=True, **options).strip()
    if line.isprintable() and yaml.safe_load(line) == entry:
        return line
    quoted = {key: _Quoted(value) if isinstance(value, str) else value for key, value in entry.items()}
    return yaml.dump(quoted, Dumper=_Dumper, **options).strip()


class _Quoted(str):
    """A string that is written between double quotes, all but ASCII spelled out."""


class _Dumper(yaml.SafeDumper):
    """Knows `_Quoted`."""


_Dumper.add_representer(_Quoted, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


def _check(text: str) -> None:
    """Raise unless the description can be read back; what a person must fill in is filled in for the check."""
    config = yaml.safe_load(text)
    config["tasks"] = config["tasks"] or ["label_to_be_named"]
    config["features"] = config["features"] or [{"name": "column_to_be_named", "kind": "numeric", "side": "user"}]
    TableDescription.from_dict(config)
