"""Small workflows that run unchanged on redun_lite and on redun, to see where they differ.

`../compare_with_redun.py` runs them on both and writes the table in
`../differences-from-redun.md`.  What redun did is kept in `outcomes.json`, so that the tests can
check redun_lite against it where redun is not installed.
"""
