"""Abuse (ABU): blocklists, reports, scores, sanctions, challenges, and the catalogue of what is kept about people."""
