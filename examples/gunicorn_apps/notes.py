"""A Flask application with a database, under gunicorn: a goroutine for each connection.

    cd examples/gunicorn_apps
    gunicorn -k gopy.gunicorn.Worker notes:app
    curl -d text=hello localhost:8000/notes ; curl localhost:8000/notes ; curl localhost:8000/slow

Flask is as it is everywhere: the worker has patched the standard library before it loads this. SQLite waits
in C, for the disk and for whoever else writes, so its calls go to a thread for blocking calls. A database
with a client in Python (PostgreSQL by psycopg, MySQL by PyMySQL) would need nothing.
"""

import os
import sqlite3
import time
from collections.abc import Callable
from typing import TypeVar

from flask import Flask, Response, jsonify, request

from gopy import blocking

PATH = os.environ.get("NOTES", "notes.db")
app = Flask(__name__)
T = TypeVar("T")


def in_database(work: Callable[[sqlite3.Connection], T]) -> T:
    """work(connection) in a transaction of its own, on a thread that may block."""

    def body() -> T:
        connection = sqlite3.connect(PATH, timeout=30)
        try:
            with connection:
                connection.execute("create table if not exists notes (text)")
                return work(connection)
        finally:
            connection.close()

    return blocking(body)


@app.get("/notes")
def list_notes() -> Response:
    query = "select text from notes order by rowid"
    return jsonify([text for (text,) in in_database(lambda db: db.execute(query).fetchall())])


@app.post("/notes")
def add_note() -> tuple[str, int]:
    text = request.form["text"]
    in_database(lambda connection: connection.execute("insert into notes values (?)", (text,)))
    return "", 201


@app.get("/slow")
def slow() -> str:
    """What asks another service: fifty of these at once take as long as one."""
    time.sleep(0.1)
    return "at last\n"
