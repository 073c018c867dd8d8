"""Spam, fraud and blocking (ABU): blocklists, reports, scores, sanctions, challenges, and what is kept about people."""
