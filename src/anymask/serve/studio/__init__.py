"""The studio's half of the server: the page, a folder of images, and what people make of them.

`api` adds its routes: those of `pictures` and `panels`. `gallery` is the folder of its images,
`project` the files that it saves, `wire` what goes between them and the page, whose files
`page_files` gives; `static` writes the page for hosts without a server.
"""
