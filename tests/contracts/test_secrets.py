# SPDX-License-Identifier: BSD-3-Clause
"""What every Store promises about connections and variables, over memory, SQLite and PostgreSQL."""

from __future__ import annotations

import pytest

from nbflow.core.connections import StoredConnection, StoredVariable
from nbflow.core.errors import UserError

pytest_plugins = ["tests.unit.store.databases"]


def a_connection(name="warehouse", **more):
    return StoredConnection(**{"name": name, "shown": "postgresql://me:***@db/sales", "sealed": "gAAAA", **more})


class TestConnections:
    def test_they_come_back_by_name(self, store):
        whole = a_connection(extra=("region",), description="of sales")
        for each in (a_connection("b"), whole, a_connection("B")):
            store.secrets.save_connection(each)
        assert store.secrets.connection("warehouse") == whole
        assert [each.name for each in store.secrets.connections()] == ["B", "b", "warehouse"]

    def test_setting_one_again_replaces_it(self, store):
        store.secrets.save_connection(a_connection())
        store.secrets.save_connection(a_connection(sealed="other"))
        assert [each.sealed for each in store.secrets.connections()] == ["other"]

    def test_an_unknown_one_is_said_with_the_nearest(self, store):
        with pytest.raises(UserError, match=r'There is no connection "x"\. `nbflow connections list` shows them\.'):
            store.secrets.connection("x")
        store.secrets.save_connection(a_connection())
        with pytest.raises(UserError, match=r'There is no connection "warehose"\. Did you mean "warehouse"\?'):
            store.secrets.connection("warehose")
        with pytest.raises(UserError, match='There is no connection "warehose"'):
            store.secrets.delete_connection("warehose")
        store.secrets.delete_connection("warehouse")
        assert store.secrets.connections() == ()


class TestVariables:
    def test_they_come_back_by_name(self, store):
        secret = StoredVariable(name="token", is_secret=True, sealed="gAAAA")
        plain = StoredVariable(name="region", value="eu\u00e9", description="where")
        for each in (secret, plain):
            store.secrets.save_variable(each)
        assert store.secrets.variables() == (plain, secret)
        assert store.secrets.variable("region") == plain

    def test_an_unknown_one_is_said_and_a_deleted_one_is_gone(self, store):
        store.secrets.save_variable(StoredVariable(name="region", value="eu"))
        with pytest.raises(UserError, match=r'There is no variable "regio"\. Did you mean "region"\? `nbflow variables list` shows them\.'):
            store.secrets.variable("regio")
        store.secrets.delete_variable("region")
        with pytest.raises(UserError, match='There is no variable "region"'):
            store.secrets.delete_variable("region")
