"""A small Django application without a web: test_django.py runs it both ways and compares what it prints."""

from __future__ import annotations

import json
import os
from typing import Any

import django
import pymysql
from django.conf import settings

pymysql.install_as_MySQLdb()
pymysql.version_info = (2, 2, 7, "final", 0)  # what Django asks of mysqlclient, whose place PyMySQL takes

settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.mysql",
            "NAME": os.environ["DATABASE"],
            "USER": os.environ["USER"],
            "PASSWORD": os.environ["PASSWORD"],
            "HOST": os.environ["HOST"],
            "PORT": os.environ["PORT"],
            "CONN_MAX_AGE": int(os.environ["MAX_AGE"]),
            "OPTIONS": {"charset": "utf8mb4", "isolation_level": os.environ["ISOLATION"] or None},
        }
    },
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()

from django.db import IntegrityError, OperationalError, close_old_connections, connection, models, transaction  # noqa: E402
from django.db.models import Count, F, Sum  # noqa: E402


class Item(models.Model):  # type: ignore[misc]
    name = models.CharField(max_length=30, unique=True)
    price = models.DecimalField(max_digits=8, decimal_places=2)
    tags = models.JSONField(default=dict)
    made = models.DateTimeField(null=True)

    class Meta:
        app_label = "shop"


class Order(models.Model):  # type: ignore[misc]
    item = models.ForeignKey(Item, on_delete=models.CASCADE, related_name="orders")
    count = models.IntegerField()

    class Meta:
        app_label = "shop"


def say(*values: Any) -> None:
    print(json.dumps(values, default=str, sort_keys=True))  # of constraints the server keeps no order


def create() -> None:
    with connection.schema_editor() as editor:
        editor.create_model(Item)
        editor.create_model(Order)
    say(sorted(connection.introspection.table_names()))
    with connection.cursor() as cursor:
        say([tuple(column) for column in connection.introspection.get_table_description(cursor, "shop_order")])
        say(connection.introspection.get_constraints(cursor, "shop_item"))
        cursor.execute("SELECT @@tx_isolation, @@autocommit, @@sql_mode, @@sql_auto_is_null")
        say(cursor.fetchall())


def change() -> None:
    for i in range(5):
        item = Item.objects.create(name=f"item {i} ü", price=f"{i}.50", tags={"n": [i, None, "x"]})
        item.orders.create(count=i)
        say(item.pk)
    say(Item.objects.bulk_create([Item(name=f"bulk {i}", price=i) for i in range(500)], batch_size=100)[0].name)
    # CLIENT_FOUND_ROWS: rows that were matched, though nothing changed
    say(Item.objects.filter(pk__lte=3).update(price=7), Item.objects.filter(pk__lte=3).update(price=7))
    say(Item.objects.update_or_create(name="item 1 ü", defaults={"price": 7})[1])
    say(Item.objects.get_or_create(name="item 2 ü", defaults={"price": 1})[1])
    say(Item.objects.filter(tags__n__0=3).values_list("name", flat=True)[0], Item.objects.get(pk=1).tags)
    say(list(Order.objects.select_related("item").values("item__name", "count").order_by("pk")))
    say(Item.objects.aggregate(Sum("price"), Count("pk")), Item.objects.filter(name__startswith="bulk").delete())
    say(sum(1 for _ in Item.objects.order_by("pk").iterator(chunk_size=2)))


def transactions() -> None:
    try:
        with transaction.atomic():
            Item.objects.update(price=F("price") + 1)
            try:
                with transaction.atomic():  # a savepoint
                    Item.objects.create(name="item 1 ü", price=1)
            except IntegrityError as error:
                say(error.args)
            with transaction.atomic():
                Order.objects.create(item_id=1, count=99)
                transaction.on_commit(lambda: say("not committed"))
            raise RuntimeError("rolled back")
    except RuntimeError as error:
        say(str(error), Item.objects.aggregate(Sum("price")), Order.objects.count())
    with transaction.atomic():
        say([item.name for item in Item.objects.select_for_update().filter(pk__in=[1, 2]).order_by("pk")])
        Order.objects.filter(count=0).delete()
        transaction.on_commit(lambda: say("committed"))
    transaction.set_autocommit(False)
    Order.objects.create(item_id=2, count=5)
    transaction.rollback()
    transaction.set_autocommit(True)
    say(Order.objects.count(), connection.in_atomic_block)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM nowhere")
    except Exception as error:
        say(type(error).__name__, error.args)


def requests() -> None:
    """What happens around each request of a web application."""
    for i in range(40):
        close_old_connections()
        with transaction.atomic():
            Order.objects.create(item_id=1 + i % 3, count=i)
            if i % 4 == 3:
                transaction.set_rollback(True)
        close_old_connections()
    say(Order.objects.aggregate(Sum("count"), Count("pk")))
    say(isinstance(OperationalError(), Exception), connection.mysql_is_mariadb, connection.mysql_version)


for step in (create, change, transactions, requests):
    step()
connection.close()
