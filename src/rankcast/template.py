"""What `init` writes for the studies to come: the design process as a study with questions, and a checklist for reviewers."""

from __future__ import annotations

from collections.abc import Sequence

_QUESTIONS = """\
# yaml-language-server: $schema=../schema/study.json
# A study to copy. Answer the questions from top to bottom; what you do not know yet, leave out: a rule will ask for it.
rankcast: 1
study: my-idea
service: ../service.yaml
owner: my-team

# 1. The online goal. Which number should move, for whom, by how much? Written before the run.
why: |
  What is wrong today, and why should this change mend it?
expect: "applications per user +1 % to +3 %, most of it from new users"
# online: {metric: applications_per_user, events: [apply], attribute: last_request}   # what it counts, for which request

# 2. What users see, 3. what counts as success, 4. who is judged: these are facts of the service; read ../service.yaml again.

# 5. When. Whole weeks, two at least, after the training data end and two weeks after the last launch.
"""
_AGAINST = """\

# 6. Against what. What users get today, the proposal, and popularity as the floor. One thing changes; say what.
treatment: [scores]              # scores | candidates | steps | served
variants:
"""
_TRAINED = """\
# How did each model come about? Beside its scores:
#   trained_until: 2023-09-29
#   training: {split: global_temporal, tuned_on: {from: 2023-09-01, to: 2023-09-15}, trials: 40, seeds: 5}
"""
_BY_WHAT = """\

# 7. By what. One metric decides, guardrails of another kind must not get worse, the rest is shown.
metrics:
  primary: dcg@10
  guardrails: [empty]            # coverage@10, "exposure_gini(by=item.company_id)@10"
  also: [ndcg@10, recall@10]
# segments: [user.tenure]        # who could be hurt?
compare: {smallest_effect: 1%}   # below that, nothing matters

# Rules that may fire, each with a reason and an end:
# allow:
#   DT06: {reason: "only two weeks are comparable", until: 2099-12-31}
"""
CHECKLIST = """\
# For reviewers of a study

- [ ] The goal is written down, and the event that it counts has the best grade.
- [ ] What is expected was written before the run.
- [ ] Fidelity is above its bar, and what differs is explained.
- [ ] The baseline is what users get today; one thing differs.
- [ ] Both models: trained until before the period, tuned on days before it, with alike effort.
- [ ] Whole weeks; horizons are over; no launch within two weeks before.
- [ ] The ledger was read: who fell out, and are they the ones who matter?
- [ ] What is averaged is what the goal counts: users or requests, not keywords.
- [ ] A guardrail of another kind; segments of those who could be hurt.
- [ ] Difference on judged items, and its bounds: do they say the same?
- [ ] The difference that matters is stated, and the data could have found it.
- [ ] No error among the rules; every warning has an answer; every waiver a reason and an end.
"""


def study_template(period: str, variants: Sequence[str], baseline: str) -> str:
    """A study with the questions of the design process; `period`, `variants` and `baseline` are lines that fit the logs."""
    return "\n".join(
        [
            _QUESTIONS + period + "\n" + _AGAINST.rstrip("\n"),
            *variants,
            _TRAINED.rstrip("\n"),
            f"baseline: {baseline}",
            _BY_WHAT,
        ]
    )
