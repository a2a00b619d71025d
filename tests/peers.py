"""How our numbers relate to those of ranx, pytrec_eval, ir_measures and RecTools.

One table of claims: the tests hold each against the peer, and the page of the guide is made of it.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
RANX, PYTREC, IR, RECTOOLS = "ranx", "pytrec_eval", "ir_measures", "RecTools"
Values = dict[str, float] | float  # per request, or one over all lists
Lists = dict[str, list[tuple[str, float]]]


@dataclass(frozen=True)
class Data:
    """Lists as rows of (item, score) in the order given, labels, (user, item) history, item -> category."""

    lists: Lists
    labels: dict[str, dict[str, float]]
    history: tuple[tuple[str, str], ...] = ()
    items: dict[str, int] = field(default_factory=dict)

    def ranked(self, request: str) -> list[str]:
        """Items from the top; equal scores in the order given."""
        return [item for item, _ in sorted(self.lists[request], key=lambda row: -row[1])]

    def relevant(self, request: str, level: float = 1) -> set[str]:
        return {item for item, grade in self.labels[request].items() if grade >= level}

    def as_dicts(self) -> dict[str, dict[str, float]]:
        return {request: dict(rows) for request, rows in self.lists.items()}


@cache
def workload() -> Data:
    """60 requests without ties. Each has a relevant label, and shows an item that is not relevant."""
    rng = np.random.default_rng(20)
    items = {f"i{number:02}": int(rng.integers(4)) for number in range(40)}
    known = list(items)[:30]  # the others are never shown
    lists: Lists = {}
    labels: dict[str, dict[str, float]] = {}
    for request in map(str, range(101, 161)):
        shown = [str(item) for item in rng.permutation(known)[: rng.integers(3, 13)]]
        scores = rng.choice(999, len(shown), replace=False) / 8
        lists[request] = list(zip(shown, scores.tolist(), strict=True))
        hidden = [item for item in known if item not in shown]
        some = [*rng.permutation(shown[1:])[: rng.integers(1, 7)], *rng.permutation(hidden)[: rng.integers(0, 5)]]
        least = rng.choice([0, 0, 1])  # a third of the requests have no label of grade 0
        labels[request] = {str(item): int(rng.integers(least, 4)) for item in some}
        labels[request][str(rng.choice(some))] = int(rng.integers(1, 4))
        if least == 0 and rng.random() < 0.7:
            labels[request][shown[0]] = 0
    at = np.minimum(rng.geometric(0.1, 250) - 1, 24)
    history = [(f"u{rng.integers(25)}", known[index]) for index in at]
    return Data(lists, labels, tuple(history), items)


# --- What is claimed ---


@dataclass(frozen=True)
class Claim:
    """Their metric and ours give the same number for every request, or not, and why."""

    peer: str
    theirs: str
    ours: str
    equal: bool = True
    why: str = ""
    within: float = 1e-9


def same(peer: str, pairs: dict[str, str]) -> list[Claim]:
    return [Claim(peer, theirs, ours) for theirs, ours in pairs.items()]


ILD = "IntraListDiversity(k=5, distance_calculator=categories)"
GDEVAL = {"within": 0.5000001e-5, "why": "to the five decimals that it prints"}
CLAIMS = [
    *same(RANX, {
        "ndcg": "ndcg", "ndcg@5": "ndcg@5", "ndcg_burges@5": "ndcg(gain=exp)@5", "dcg@5": "dcg@5",
        "dcg_burges@5": "dcg(gain=exp)@5", "map": "ap", "map@5": "ap@5", "map@5-l2": "ap(level=2)@5", "mrr": "rr",
        "mrr@5": "rr@5", "recall": "recall", "recall@5": "recall@5", "recall@5-l2": "recall(level=2)@5",
        "precision": "precision", "precision@5": "precision@5", "precision@5-l2": "precision(level=2)@5", "f1": "f1",
        "f1@5": "f1@5", "hit_rate@5": "hit@5", "r-precision": "r_precision",
    }),
    Claim(RANX, "ndcg@5-l2", "ndcg@5", False,
          "`-l2` sets grades below 2 to 0, in the list and in the ideal; our gains have no level"),
    Claim(RANX, "r-precision@5", "r_precision@5", False, "it passes over the cut-off: the number is `r_precision`"),
    Claim(RANX, "rbp.80", "rbp(p=0.8)", False, "it multiplies each hit by its grade, so that it may exceed 1"),
    Claim(RANX, "rbp@10", "rbp(p=0.8)@10", False,
          "what stands behind `@` is the persistence, here 0.10: it has no cut-off"),
    Claim(RANX, "hits@5", "hit@5", False, "the number of hits, not whether there is one"),
    Claim(RANX, "bpref", "bpref", False,
          "NaN where the list shows a relevant item and no label has grade 0: it divides 0 by 0, where here and in trec_eval "
          "each relevant item counts 1; equal elsewhere"),
    *same(PYTREC, {
        "ndcg": "ndcg", "ndcg_cut_5": "ndcg@5", "map": "ap", "map_cut_5": "ap@5", "map (relevance_level=2)": "ap(level=2)",
        "recip_rank": "rr", "P_5": "precision@5", "P_5 (relevance_level=2)": "precision(level=2)@5", "recall_5": "recall@5",
        "success_5": "hit@5", "relative_P_5": "recall(norm=cut)@5", "Rprec": "r_precision", "bpref": "bpref",
        "bpref (relevance_level=2)": "bpref(level=2)", "set_P": "precision", "set_recall": "recall", "set_F": "f1",
        "num_ret": "list_length",
    }),
    Claim(PYTREC, "num_rel_ret", "recall", False, "the number of relevant items in the list; `recall` divides it by R"),
    Claim(PYTREC, "set_map", "ap", False, "precision times recall of the whole list, whatever its order"),
    Claim(PYTREC, "set_relative_P", "recall", False, "it divides by min(R, list length), `recall` by R"),
    *same(IR, {
        "nDCG": "ndcg", "nDCG@5": "ndcg@5", "nDCG(gains={1:1,2:3,3:7})@5": "ndcg(gain=exp)@5",
        "nDCG(gains={2:1,3:1})@5": "ndcg(gain=binary)@5",
    }),
    Claim(IR, "nDCG(dcg='exp-log2')@5", "ndcg(gain=exp)@5", **GDEVAL),
    Claim(IR, "ERR@5", "err@5", **GDEVAL),
    *same(IR, {
        "AP": "ap", "AP@5": "ap@5", "AP(rel=2)": "ap(level=2)", "RR": "rr", "RR@5": "rr@5", "RR(rel=2)": "rr(level=2)",
        "P@5": "precision@5", "P(rel=2)@5": "precision(level=2)@5", "R@5": "recall@5", "R(rel=2)@5": "recall(level=2)@5",
        "Success@5": "hit@5", "Success(rel=2)@5": "hit(level=2)@5", "Rprec": "r_precision",
        "Rprec(rel=2)": "r_precision(level=2)", "Bpref": "bpref", "Bpref(rel=2)": "bpref(level=2)", "SetP": "precision",
        "SetR": "recall", "SetF": "f1", "SetF(rel=2)": "f1(level=2)", "NumRet": "list_length", "Judged@5": "judged@5",
    }),
    Claim(IR, "P(judged_only=True)@5", "precision@5", False,
          "items without a label are taken out before ranks are counted; here they keep their places, and `unjudged` counts "
          "them"),
    Claim(IR, "nDCG(judged_only=True)@5", "ndcg@5", False, "as `P(judged_only=True)@5`"),
    Claim(IR, "NumRet(rel=1)", "recall", False, "the number of relevant items in the list; `recall` divides it by R"),
    Claim(IR, "SetAP", "ap", False, "precision times recall of the whole list, whatever its order"),
    Claim(IR, "SetP(relative=True)", "recall", False, "it divides by min(R, list length), `recall` by R"),
    Claim(IR, "SetF(beta=2.0)", "f1", False,
          "recall weighs more than precision; mind that beta stands where the textbook has its square, as in trec_eval"),
    Claim(IR, "Accuracy", "auc", False,
          "it knows relevant items in the list only, and leaves out a request whose list has none; in `auc` a relevant item that "
          "is not shown stands below all that is"),
    *same(RECTOOLS, {
        "Precision(k=5)": "precision@5", "Precision(k=5, r_precision=True)": "recall(norm=cut)@5", "Recall(k=5)": "recall@5",
        "F1Beta(k=5)": "f1@5", "HitRate(k=5)": "hit@5", "MRR(k=5)": "rr@5", "MAP(k=5)": "ap@5",
        "NDCG(k=5, divide_by_achievable=True)": "ndcg(gain=binary)@5",
        "NDCG(k=5, divide_by_achievable=True, log_base=10)": "ndcg(gain=binary)@5", "MeanInvUserFreq(k=5)": "novelty@5",
        "AvgRecPopularity(k=5)": "popularity@5", "CatalogCoverage(k=5, normalize=True)": "coverage@5",
        ILD: "diversity(by=item.category)@5",
    }),
    Claim(RECTOOLS, "NDCG(k=5)", "ndcg(gain=binary)@5", False,
          "it divides by the ideal of k hits even where a request has fewer relevant items, so that a perfect list may stay "
          "below 1; and it knows no grades, unlike plain `ndcg`"),
    Claim(RECTOOLS, "MAP(k=5, divide_by_k=True)", "ap(norm=cut)@5", False,
          "it divides by k, `norm=cut` by min(R, k): a perfect list stays below 1 where R is below k"),
    Claim(RECTOOLS, "Precision(k=5, r_precision=True)", "r_precision@5", False,
          "hits are counted within rank k; in `r_precision@k` within rank min(R, k), by which both divide"),
    Claim(RECTOOLS, "F1Beta(k=5, beta=2)", "f1@5", False,
          "recall weighs more than precision; `f1` weighs both alike"),
    Claim(RECTOOLS, "PartialAUC(k=5)", "auc", False,
          "pairs with the first k items that are not relevant, over k R even where the list shows fewer of them; `auc` takes all "
          "that the list shows"),
    Claim(RECTOOLS, "PAP(k=5)", "auc", False,
          "as PartialAUC, within the first k relevant items, over k min(R, k)"),
    Claim(RECTOOLS, "Serendipity(k=5)", "serendipity@5", False,
          "a relevant item counts by how far it stands above its place in the order of popularity, over the size of the "
          "catalogue, and the sum is divided by the items shown; here it counts 1 if the k most popular lack it, over k"),
    Claim(RECTOOLS, "AvgRecPopularity(k=5, normalize=True)", "popularity@5", False,
          "shares of all events, not numbers of them"),
    Claim(RECTOOLS, "CatalogCoverage(k=5)", "coverage@5", False, "the number of items, not their share of the catalogue"),
    Claim(RECTOOLS, "SufficientReco(k=5)", "list_length@5", False, "1 where the list has k items, else 0"),
    Claim(RECTOOLS, "SufficientReco(k=5, deep=True)", "list_length@5", False, "the length over k"),
    Claim(RECTOOLS, "CoveredUsers(k=5)", "empty@5", False, "the other way round: 1 where there is a list"),
]  # fmt: skip

# What else they offer.
NOT_HERE = {
    RANX: (),
    PYTREC: (
        "11pt_avg", "G", "Rndcg", "Rprec_mult", "binG", "gm_bpref", "gm_map", "infAP", "iprec_at_recall", "ndcg_rel",
        "num_nonrel_judged_ret", "num_q", "num_rel", "relstring", "runid", "utility",
    ),
    IR: (
        "AP_IA", "BPM", "Compat", "ERR_IA", "INSQ", "INST", "IPrec", "NERR10", "NERR11", "NERR8", "NERR9", "NRBP", "NumQ",
        "NumRel", "P_IA", "SDCG", "StRecall", "alpha_DCG", "alpha_nDCG", "infAP", "nERR_IA", "nNRBP",
    ),
    RECTOOLS: ("Accuracy", "MCC", "Intersection", "UnrepeatedReco"),
}  # fmt: skip
UNTRIED = {IR: {"RBP": "needs the back end cwl_eval; `RBP(rel=1)` as recorded from it equals `rbp`"}}


# --- Who counts, and ties: small cases whose answers are known ---


@dataclass(frozen=True)
class Case:
    """A situation and what a peer makes of it: the mean over the requests that it counts, or None where it refuses.

    `options` of `score` give the same mean; None: no option does, and `ours` says what happens here.
    """

    situation: str
    peer: str
    they: str
    data: Data
    theirs: str
    metric: str
    expected: float | None
    options: dict[str, str] | None = None
    ours: str = ""
    also: tuple[tuple[str, str, float], ...] = ()  # more of theirs and ours under the same rule, with their means

    @property
    def asks(self) -> tuple[tuple[str, str, float | None], ...]:
        return ((self.theirs, self.metric, self.expected), *self.also)


def rows(request: str, *items: str) -> Lists:
    """A list, best first."""
    return {request: [(item, float(-place)) for place, item in enumerate(items)]}


UNANSWERED = Data(
    rows("101", "a", "b"), {"101": {"a": 1}, "102": {"a": 1}}, (("u1", "a"), ("u2", "b")), {"a": 0, "b": 1}
)
UNASKED = Data(
    rows("101", "a", "b") | rows("102", "c", "b"),
    {"101": {"a": 1}},
    (("u1", "a"), ("u2", "a")),
    {"a": 0, "b": 1, "c": 1},
)
IRRELEVANT = Data(rows("101", "a", "b") | rows("102", "a", "b"), {"101": {"a": 1}, "102": {"a": 0}})
TIED = Data({"101": [("b", 1.0), ("a", 1.0), ("c", 1.0)]}, {"101": {"a": 1}})
MANY_TIED = Data({"101": [(f"i{n:02}", 1.0) for n in range(16)]}, {"101": {"i00": 1}})
NEARLY_TIED = Data({"101": [("b", 0.1234567891), ("z", 0.1234567890)]}, {"101": {"b": 1}})
TWICE = Data({"101": [("a", 2.0), ("a", 1.0)]}, {"101": {"a": 1}})
WORDS = Data(rows("anna", "a"), {"anna": {"a": 1}})
HYPHENS = Data(rows("de-1", "a") | rows("fr-1", "b"), {"de-1": {"a": 1}, "fr-1": {"b": 1}})
FRACTIONS = Data(rows("101", "a", "b"), {"101": {"a": 1.5, "b": 1}})
ALL_RELEVANT = Data(rows("101", "a"), {"101": {"a": 1}})

NO_LIST, NO_LABELS = "A request with labels and no list", "A list whose request has no labels"
NO_HIT, TIES = "A request without a relevant label", "Equal scores"
REFUSED, COMPARABLE, SHARED = "refused", f"{RANX}, make_comparable=True", f"{RECTOOLS}, equal scores given one rank"
ZERO, LEFT_OUT = {"missing": "zero"}, {"missing": "exclude"}
CASES = [
    Case(NO_LIST, RANX, REFUSED, UNANSWERED, "mrr", "rr", None, ours="worth 0"),
    Case(NO_LIST, COMPARABLE, "worth 0", UNANSWERED, "mrr", "rr", 0.5, ZERO),
    Case(NO_LIST, PYTREC, "left out", UNANSWERED, "recip_rank", "rr", 1.0, LEFT_OUT),
    Case(NO_LIST, IR, "worth 0", UNANSWERED, "RR", "rr", 0.5, ZERO),
    Case(NO_LIST, RECTOOLS, "worth 0 in metrics of labels", UNANSWERED, "MRR(k=5)", "rr@5", 0.5, ZERO,
         also=(("Recall(k=5)", "recall@5", 0.5), ("MAP(k=5)", "ap@5", 0.5))),
    Case(NO_LIST, RECTOOLS, "left out in novelty, popularity and diversity", UNANSWERED, "MeanInvUserFreq(k=5)", "novelty@5",
         1.0, LEFT_OUT, also=(("AvgRecPopularity(k=5)", "popularity@5", 1.0), (ILD, "diversity(by=item.category)@5", 1.0))),
    Case(NO_LABELS, RANX, REFUSED, UNASKED, "mrr", "rr", None, ours="left out"),
    Case(NO_LABELS, COMPARABLE, "left out", UNASKED, "mrr", "rr", 1.0, {}),
    Case(NO_LABELS, PYTREC, "left out", UNASKED, "recip_rank", "rr", 1.0, {}),
    Case(NO_LABELS, IR, "left out", UNASKED, "RR", "rr", 1.0, {}),
    Case(NO_LABELS, RECTOOLS, "left out in metrics of labels", UNASKED, "MRR(k=5)", "rr@5", 1.0, {},
         also=(("Recall(k=5)", "recall@5", 1.0), ("MAP(k=5)", "ap@5", 1.0))),
    Case(NO_LABELS, RECTOOLS, "counted in novelty, popularity, diversity and coverage", UNASKED, "AvgRecPopularity(k=5)",
         "popularity@5", 0.5, ours="left out everywhere",
         also=(("MeanInvUserFreq(k=5)", "novelty@5", 0.75), (ILD, "diversity(by=item.category)@5", 0.5),
               ("CatalogCoverage(k=5, normalize=True)", "coverage@5", 1.0))),
    Case(NO_HIT, RANX, "worth 0", IRRELEVANT, "recall@5", "recall@5", 0.5, {"without_labels": "zero"}),
    Case(NO_HIT, PYTREC, "worth 0", IRRELEVANT, "recall_5", "recall@5", 0.5, {"without_labels": "zero"}),
    Case(NO_HIT, IR, "worth 0", IRRELEVANT, "R@5", "recall@5", 0.5, {"without_labels": "zero"}),
    Case(NO_HIT, RECTOOLS, "left out: no row of its table of positives tells of it", IRRELEVANT, "Recall(k=5)", "recall@5",
         1.0, {"without_labels": "exclude"}),
    Case(TIES, RANX, "in the order given, as long as a list has at most 15 items", TIED, "mrr", "rr", 1 / 2, {"ties": "given"}),
    Case(TIES, RANX, "in no order to rely on, where a list has 16 items or more", MANY_TIED, "mrr", "rr", 1 / 15,
         ours="one rule for every length"),
    Case(TIES, PYTREC, "by item id, descending", TIED, "recip_rank", "rr", 1 / 3, {"ties": "reverse_item_id"}),
    Case(TIES, IR, "by item id, descending, in what pytrec_eval computes", TIED, "RR", "rr", 1 / 3, {"ties": "reverse_item_id"}),
    Case(TIES, IR, "by item id, descending, in what gdeval computes (`ERR`, `nDCG(dcg='exp-log2')`)", TIED,
         "nDCG(dcg='exp-log2')@5", "ndcg(gain=exp)@5", 0.5, {"ties": "reverse_item_id"}),
    Case(TIES, IR, "by item id, ascending, in `RR@k`", TIED, "RR@5", "rr@5", 1.0, {"ties": "item_id"}),
    Case(TIES, IR, "by item id, ascending, in `Judged@k`", TIED, "Judged@1", "judged@1", 1.0, {"ties": "item_id"}),
    Case(TIES, RECTOOLS, "does not arise: it reads ranks, not scores", TIED, "MRR(k=5)", "rr@5", 1 / 2, {"ties": "given"}),
    Case(TIES, SHARED, "all are taken to stand at that rank, and nDCG may exceed 1",
         Data({"101": [("a", 1.0), ("b", 1.0)]}, {"101": {"a": 1, "b": 1}}), "NDCG(k=2, divide_by_achievable=True)",
         "ndcg(gain=binary)@2", 2 / (1 + 1 / np.log2(3)), ours="equal ranks are ordered as equal scores are"),
    Case("Scores that differ from the eighth digit on", PYTREC, "equal: it keeps scores in single precision", NEARLY_TIED,
         "recip_rank", "rr", 1 / 2, ours="double precision"),
    Case("Scores that differ from the eighth digit on", IR, "equal in what pytrec_eval computes", NEARLY_TIED, "RR", "rr", 1 / 2,
         ours="double precision"),
    Case("An item twice in a list", RECTOOLS, "each place counts", TWICE, "Precision(k=2)", "precision@2", 1.0, ours=REFUSED),
    Case("A shown item outside the catalogue", RECTOOLS, "counted in coverage, which may exceed 1",
         Data(rows("101", "a", "b"), {"101": {"a": 1}}, (), {"a": 0}), "CatalogCoverage(k=5, normalize=True)", "coverage@5", 2.0,
         ours="not counted"),
    Case("A grade of 1.5", RANX, "cut to 1", FRACTIONS, "dcg", "dcg", 1 + 1 / np.log2(3), ours="taken as it is"),
    Case("A grade of 1.5", PYTREC, REFUSED, FRACTIONS, "ndcg", "ndcg", None, ours="taken as it is"),
    Case("A grade of 1.5", IR, "refused in what pytrec_eval computes", FRACTIONS, "nDCG", "ndcg", None, ours="taken as it is"),
    Case("A list of nothing but relevant items", IR, "`Accuracy` divides by zero and fails", ALL_RELEVANT, "Accuracy", "auc",
         None, ours="the share of the relevant items that the list shows"),
    Case("A request id that is not a number", IR, "refused in what gdeval computes", WORDS, "ERR@5", "err@5", None,
         ours="any id will do"),
    Case("Request ids with a hyphen, such as `de-1`", IR, "gdeval drops what stands before it; the value is lost and counts as 0",
         HYPHENS, "ERR@5", "err@5", 0.0, ours="any id will do"),
]  # fmt: skip


# --- Asking the peers ---


def ranx(data: Data, measure: str, make_comparable: bool = False) -> Values:
    from ranx import Qrels, Run, evaluate

    run = Run(data.as_dicts())
    evaluate(Qrels(data.labels), run, measure, make_comparable=make_comparable)
    return {str(request): float(value) for request, value in run.scores[measure].items()}


def pytrec_eval(data: Data, measure: str) -> Values:
    import pytrec_eval

    name, level = re.fullmatch(r"(\S+?)(?: \(relevance_level=([0-9])\))?", measure).groups()
    evaluator = pytrec_eval.RelevanceEvaluator(data.labels, {name}, relevance_level=int(level or 1))
    return {request: values[name] for request, values in evaluator.evaluate(data.as_dicts()).items()}


def ir_measures(data: Data, measure: str) -> Values:
    import ir_measures

    asked = ir_measures.parse_measure(measure)
    if "gains" in asked.params:  # a text has words for keys
        asked = asked(gains={int(grade): gain for grade, gain in asked["gains"].items()})
    found = ir_measures.iter_calc([asked], data.labels, data.as_dicts())
    return {one.query_id: one.value for one in found if one.query_id in data.labels}


def rectools(asked: Sequence[tuple[Data, str, bool]]) -> tuple[list[str], list[Values]]:
    """What it offers, and its values: one process for all. The last of an ask: equal scores share a rank."""
    jobs = [_job(*one) for one in asked]
    script = Path(__file__).with_name("peers_rectools.py")
    command = [str(rectools_interpreter()), str(script)]
    done = subprocess.run(command, input=json.dumps(jobs), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    return answer["offered"], answer["values"]


def rectools_interpreter() -> Path:
    named = os.environ.get("RANKCAST_RECTOOLS")
    return Path(named) if named else ROOT / ".venv" / "rectools" / "bin" / "python"


def _job(data: Data, measure: str, shared: bool) -> dict[str, Any]:
    reco = []
    for request, listed in data.lists.items():
        scores = sorted((score for _, score in listed), reverse=True)
        best_first = sorted(listed, key=lambda row: -row[1])
        reco += [
            (request, item, 1 + (scores.index(score) if shared else place))
            for place, (item, score) in enumerate(best_first)
        ]
    positives = [(request, item) for request in data.labels for item in sorted(data.relevant(request))]
    return {
        "metric": measure, "reco": reco, "interactions": positives, "history": data.history, "items": data.items,
    }  # fmt: skip


@dataclass(frozen=True)
class Answers:
    """All of one peer: the names it offers, its values by claim, and those of each ask of its cases; None is a refusal."""

    offered: set[str]
    claims: dict[str, Values]
    cases: list[list[Values | None]]


def answers(peer: str) -> Answers:
    claims = list(dict.fromkeys(claim.theirs for claim in CLAIMS if claim.peer == peer))
    cases = cases_of(peer)
    if peer == RECTOOLS:
        asked = [(workload(), theirs, False) for theirs in claims]
        asked += [(case.data, theirs, case.peer == SHARED) for case in cases for theirs, _, _ in case.asks]
        offered, values = rectools(asked)
        rest = iter(values[len(claims) :])
        made = [[next(rest) for _ in case.asks] for case in cases]
        return Answers(set(offered), dict(zip(claims, values, strict=False)), made)
    ask = {RANX: ranx, PYTREC: pytrec_eval, IR: ir_measures}[peer]
    made: list[list[Values | None]] = []
    for case in cases:
        options = {"make_comparable": True} if case.peer == COMPARABLE else {}
        made.append([_refusable(partial(ask, case.data, theirs, **options)) for theirs, _, _ in case.asks])
    return Answers(_offered(peer), {theirs: ask(workload(), theirs) for theirs in claims}, made)


def _refusable(ask: Callable[[], Values]) -> Values | None:
    try:
        return ask()
    except Exception:  # noqa: BLE001 - whatever it raises is its refusal
        return None


def cases_of(peer: str) -> list[Case]:
    return [case for case in CASES if case.peer.partition(",")[0] == peer]


def _offered(peer: str) -> set[str]:
    if peer == RANX:
        from ranx.metrics import metric_switch

        return set(re.findall(r'metric == "([^"]+)"', inspect.getsource(metric_switch)))
    if peer == PYTREC:
        import pytrec_eval

        return set(pytrec_eval.supported_measures)
    import ir_measures

    return {measure.NAME for measure in ir_measures.measures.registry.values() if hasattr(measure, "NAME")}


def stem(peer: str, theirs: str) -> str:
    """The name under which they offer it, without its parameters."""
    if peer == PYTREC:
        return re.sub(r"_[0-9]+$", "", theirs.partition(" ")[0])
    return re.match(r"[A-Za-z0-9_-]+?(?=-l[0-9]|[.@(]|$)", theirs)[0]
