"""The library over HTTP: `app.create_app` makes the application, ``anymask serve`` runs it.

`config` says what is allowed and how much; `access` lets requests in; `compute` works in threads,
`batching` joins clicks that wait; `sessions` keeps embedded images, `jobs` works through folders
that `paths` allows. `wire`, `answers` and `exports` are how masks and files go out, `errors` what
is said instead, and `notes` what is said beside; `metrics` counts. `app` puts it all together
around a `server`, and `run` runs it.

``routes/`` has the verbs of the library, ``studio/`` the page on which masks are made, ``label/``
the same page for a project of the data engine; ``page/`` is built from ``web/``.
"""
