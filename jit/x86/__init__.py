"""x86-64 front end: CPU record, instruction forms, semantics, system helpers."""
