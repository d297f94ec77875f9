"""``provml run``: a command that knows nothing of provml, and the run around it.

`around` starts it and stands by; `program` says what it is, `streams`, `output` and `kept` what is
made of what it prints, `signals` what reaches it, `surroundings` what there is to say of its code.
"""
