"""The library over HTTP: `app.create_app` makes the application, ``anymask serve`` runs it.

`config` says what is allowed and how much; `access` lets requests in; `compute` works in threads,
`batching` joins clicks that wait; `sessions` keeps embedded images, `jobs` works through folders
that `paths` allows. `schemas` is what goes in, which `prompts` turns into the library's values;
`replies`, `wire` and `answers` are what comes out, `errors` what is said instead, and `notes` what
is said beside. `embeddings`, `verbs`, `changes`,
`folders` and `operations` are the routes, `metrics` counts; `app` puts
it all together around a `server`, and `run` runs it.

`studio` adds a page on which masks are made: `gallery` is the folder of its images, `project` the
files that it saves, `studio_wire` what goes between them and the page, whose files `page_files`
gives; ``page/`` is built from ``web/``.
"""
