"""Access decisions: roles, grants, relations and denies as data, decided by a pure function that says why."""

from portalsec.rbac.check import Parts, PolicyError, PolicyProblem
from portalsec.rbac.decide import decide, needed_relations
from portalsec.rbac.load import load_policy
from portalsec.rbac.model import (
    Context,
    Decision,
    Deny,
    Grant,
    Relation,
    Request,
    Resource,
    ResourceType,
    Role,
    Subject,
)
from portalsec.rbac.pdp import PDP
from portalsec.rbac.policy import Policy
from portalsec.rbac.ports import AssignmentStore, RelationSource

__all__ = [
    "PDP",
    "AssignmentStore",
    "Context",
    "Decision",
    "Deny",
    "Grant",
    "Parts",
    "Policy",
    "PolicyError",
    "PolicyProblem",
    "Relation",
    "RelationSource",
    "Request",
    "Resource",
    "ResourceType",
    "Role",
    "Subject",
    "decide",
    "load_policy",
    "needed_relations",
]
