"""The chassis: what every service of the mesh runs on. No domain in it.

Settings, server, channels, the interceptor chain, deadlines, errors, health, identity, telemetry, logs, and the client of the
model server. It knows nothing of questions, documents or answers, with one exception: `assistant.py` reads the reviewed texts that
several services show.
"""
