"""A migration only adds: processes of the release before read and write beside it until their drain."""

import pytest
from django.db.migrations import operations
from django.db.migrations.loader import MigrationLoader
from django.db.models import NOT_PROVIDED

FIRST_BESIDE_OTHERS = 7  # there was no release before
ADDS = (
    *(operations.CreateModel, operations.AddField, operations.AddIndex, operations.AddConstraint),
    *(operations.AlterModelOptions, operations.AlterModelManagers, operations.RunPython),
)


def migrations():
    found = MigrationLoader(None).disk_migrations
    ours = sorted(name for app, name in found if app == "sessions_core")
    return [found["sessions_core", name] for name in ours if int(name[:4]) >= FIRST_BESIDE_OTHERS]


@pytest.mark.parametrize("migration", migrations(), ids=str)
def test_a_migration_takes_nothing_from_the_release_before(migration):
    for operation in migration.operations:
        assert isinstance(operation, ADDS), operation.describe()
        if isinstance(operation, operations.AddField) and operation.model_name in ("chat", "message", "delta", "user"):
            field = operation.field
            assert field.null or field.db_default is not NOT_PROVIDED, f"{operation.describe()}: who does not know it?"
