"""The recording side of a run: its verbs, its files, its end. Imports nothing that derives."""
