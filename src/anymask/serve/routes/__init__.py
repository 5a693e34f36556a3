"""The verbs of the library as routes.

`schemas` is what goes in, which `prompts` turns into the library's values; `replies` is what comes
out.
"""
