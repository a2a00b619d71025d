"""The page on the peers, made of the table that the tests check: `python tests/peers_page.py > docs/guide/peers.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from peers import CASES, CLAIMS, IR, NOT_HERE, PYTREC, RANX, RECTOOLS, UNTRIED, Case, Claim

HEAD = """\
# How our numbers relate to theirs

Metrics of the same name are not always the same number. Each line below is held against the library itself by our tests, on 60
requests without ties and on small cases. Where two numbers differ, the tests also compute theirs by hand, so that the reason
given is the true one. R is the number of relevant items of a request; 5 stands for any cut-off, 2 for any level.

The tests and this page are made of one table: `python tests/peers_page.py > docs/guide/peers.md` writes the page again.
"""
NOTES = {
    RANX: "Asked by `evaluate`, with `Qrels` and `Run` of dicts. `-l2` is its relevance level.",
    PYTREC: "The names of the reference program trec_eval, in Python.",
    IR: "It passes measures on to back ends: most to pytrec_eval, `ERR` and `nDCG(dcg='exp-log2')` to gdeval, `RR@k` to msmarco; "
    "`Judged` and `Accuracy` are its own.",
    RECTOOLS: "Per user; a request stands for a user here. Its tables of interactions have no grades: the rows with grade 1 and "
    "more are handed over, nothing else. `categories` is `PairwiseHammingDistanceCalculator` over the one column that `by` "
    "names. Novelty, popularity, serendipity: the same history on both sides.",
}


def page() -> str:
    """The Markdown of docs/guide/peers.md."""
    parts = [HEAD]
    for peer, note in NOTES.items():
        lines = [(f"`{claim.theirs}`", f"`{claim.ours}`", _verdict(claim)) for claim in CLAIMS if claim.peer == peer]
        parts.append(f"## {peer}\n\n{note}\n\n{_table((peer, 'Rankcast', 'equal'), lines)}")
        parts += [f"Not asked: `{name}`, which {why}.\n" for name, why in UNTRIED.get(peer, {}).items()]
        if NOT_HERE[peer]:
            parts.append(f"No counterpart here: {', '.join(f'`{name}`' for name in NOT_HERE[peer])}.\n")
    parts.append(
        "## Who counts, ties and odd input\n\n"
        "Equal metrics still give unequal means where two libraries do not count the same requests, or break ties otherwise. "
        "The right column names the option of `rankcast score` that does as they do; where none does, it says what happens "
        "here.\n"
    )
    for situation in dict.fromkeys(case.situation for case in CASES):
        lines = [(case.peer, case.they, _ours(case)) for case in CASES if case.situation == situation]
        parts.append(f"**{situation}**\n\n{_table(('library', 'there', 'here'), lines)}")
    return "\n".join(parts)


def _verdict(claim: Claim) -> str:
    return (", " if claim.equal else ": ").join(filter(None, ["yes" if claim.equal else "no", claim.why]))


def _ours(case: Case) -> str:
    if case.options is None:
        return case.ours
    flags = " ".join(f"`--{name.replace('_', '-')} {value}`" for name, value in case.options.items())
    return flags or "the same"


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(cells)} |\n" for cells in [head, ["---"] * len(head), *lines])


if __name__ == "__main__":
    sys.stdout.write(page())
