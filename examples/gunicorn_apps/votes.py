"""A Django application with a database, in one file, under gunicorn: a goroutine for each connection.

    cd examples/gunicorn_apps
    gunicorn -k gopy.gunicorn.Worker votes:app
    curl -d choice=tea localhost:8000/votes ; curl localhost:8000/votes ; curl localhost:8000/slow

Django is as it is everywhere: the worker has patched the standard library before it loads this. SQLite waits
in C, for the disk and for whoever else writes, so what uses it goes to a thread for blocking calls, with a
connection that is closed there. A database with a client in Python (PostgreSQL by psycopg, MySQL by PyMySQL)
would need nothing.
"""

import os
import time
from collections.abc import Callable
from typing import TypeVar

import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY=os.environ.get("SECRET_KEY", "only for this example"),
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ.get("VOTES", "votes.sqlite3"),
            "OPTIONS": {"timeout": 30},
        }
    },
)
django.setup()

from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import connection, models  # noqa: E402
from django.http import HttpRequest, HttpResponse, JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402

from gopy import blocking  # noqa: E402

T = TypeVar("T")


class Vote(models.Model):
    choice = models.CharField(max_length=100)

    class Meta:
        app_label = "votes"


def in_database(work: Callable[[], T]) -> T:
    """work() on a thread that may block."""

    def body() -> T:
        try:
            return work()
        finally:
            connection.close()  # that thread's own

    return blocking(body)


def create_table() -> None:
    with connection.cursor() as cursor:  # several workers may do it at once
        cursor.execute(
            "create table if not exists votes_vote (id integer primary key, choice varchar(100) not null)"
        )


def votes(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        choice = request.POST["choice"]
        in_database(lambda: Vote.objects.create(choice=choice))
        return HttpResponse(status=201)
    counts = Vote.objects.values_list("choice").annotate(models.Count("id")).order_by("choice")
    return JsonResponse(in_database(lambda: dict(counts)))


def slow(request: HttpRequest) -> HttpResponse:
    """What asks another service: fifty of these at once take as long as one."""
    time.sleep(0.1)
    return HttpResponse("at last\n")


urlpatterns = [path("votes", votes), path("slow", slow)]
create_table()
connection.close()
app = get_wsgi_application()
