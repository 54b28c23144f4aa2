"""One worker at a time for one account, where a decision looks at rows that another worker may be adding."""

from __future__ import annotations

from django.db.models import F

from portalsec.django.models import AccountEpoch

__all__ = ["alone_with_account"]


def alone_with_account(using: str, account_id: str) -> None:
    """Until the end of the transaction, whoever else calls this for the account waits. The first statement in it."""
    rows = AccountEpoch.objects.using(using)
    rows.bulk_create([AccountEpoch(account_id=account_id)], ignore_conflicts=True)
    rows.filter(account_id=account_id).update(epoch=F("epoch"))  # changes nothing, and holds the row
